"""What the faults of published implementations are worth, on the nano world in one run.

`python tests/support/published_faults.py` writes docs/published_faults.md anew: it runs every
method that declares faults once as its paper says and once with each fault.  A --plugin FILE is
taken too.  Results are kept in --out, so that a second call measures only what is new.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from unlearnbench import registry
from unlearnbench.settings import settings_of
from unlearnbench.unlearning.method import Method, PublishedFault

PAGE = Path(__file__).parents[2] / "docs" / "published_faults.md"

MODEL, RUN, SEED = "nano-neo", "0", 42
N_ROWS, N_DOCUMENTS, N_EPOCHS = 16, 24, 3  # to forget; of each task; of training
# Column -> the metric's name in a result, its scale, its decimals.
COLUMNS: dict[str, tuple[str, float, int]] = {
    "EL10 (%)": ("el10", 100.0, 1),
    "MA (%)": ("ma", 100.0, 1),
    "perplexity, Pile": ("pile_ppl", 1.0, 2),
    "perplexity, WikiText": ("wikitext_ppl", 1.0, 2),
    "mean accuracy (%)": ("cls_avg", 100.0, 1),
}
HEADER = ("method", "setting", "what was released", "what the paper says", "source")
NO_SETTING = "–"

INTRODUCTION = """# Published faults

Published code does not always do what its paper says. Each method that has such a fault does what
the paper says by default, and has a setting that does what was released. `--protocol released`
gives these settings their released values where their default is what the paper says (GradDiff's
two forms of the KL term are `--set` only, as its retain term is an NLL by default), and has these
methods label answers alone, as their code does. The table names every fault and shows what it
changes; a fault without a setting is described and not measured.

The numbers come from one run with one seed ({seed}) on the nano world, a synthetic one: {n_rows}
rows of forget set {run}, {n_documents} documents of each task, and {model}, a very small model.
They say nothing about real models, and a small difference may be chance.

In each measured cell the paper's value stands before the arrow and the released one after it. EL10
and MA say how much of the forget set the model still knows, lower is better. Perplexity (lower is
better) and accuracy (higher is better) say what else it still can. Every cell was trained for
{n_epochs} epochs (`--until epochs`) with the method's tuned rate and weights, whatever the stop
line says, so that both sides of an arrow are compared after the same training. All rows to forget
have 50 labelled tokens, so RMU's two means are the same here; where lengths differ they are not.

`python tests/support/published_faults.py` makes this page.
"""


def declared() -> list[tuple[type[Method], PublishedFault]]:
    """Every fault that a registered plugin declares, plugin by plugin in the order of names."""
    plugins: list[Any] = [p for kind in registry.KINDS for p in registry.plugins(kind).values()]
    return [(p, fault) for p in plugins for fault in getattr(p, "published_faults", ())]


def listed(page: str) -> list[tuple[str, str]]:
    """Method and setting of each row of a page."""
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return [(row[0].strip("| `"), row[1].strip("`")) for row in rows]


def names(faults: list[tuple[type[Method], PublishedFault]]) -> list[tuple[str, str]]:
    """Method and setting of each fault, as `listed` gives them."""
    return [(method.name, fault.setting or NO_SETTING) for method, fault in faults]


def rounds(faults: list[tuple[type[Method], PublishedFault]]) -> list[dict[str, PublishedFault]]:
    """The faults to measure, by method: in each round one of each method that has more left."""
    by_method: dict[str, list[PublishedFault]] = {}
    for method, fault in faults:
        if method.plugin_kind == "methods" and fault.setting:
            by_method.setdefault(method.name, []).append(fault)
    n_rounds = max(map(len, by_method.values()), default=0)
    return [
        {name: of[number] for name, of in by_method.items() if number < len(of)}
        for number in range(n_rounds)
    ]


def settings(switched: dict[str, PublishedFault], released: bool) -> dict[str, Any]:
    """By METHOD.SETTING: what the paper says of all faults, or released values of the switched."""
    values = {}
    for method, fault in declared():
        if method.name in switched and fault.setting and fault.corrected is None:
            values[f"{method.name}.{fault.setting}"] = paper_value(method, fault)
    for method, fault in declared():
        if switched.get(method.name) == fault:
            value = fault.released if released else paper_value(method, fault)
            values[f"{method.name}.{fault.setting}"] = value
    return values


def paper_value(method: type[Method], fault: PublishedFault) -> Any:
    """What the paper means, as an option takes it."""
    default = settings_of(method)[fault.setting].text()
    return default if fault.corrected is None else fault.corrected


Measured = dict[tuple[str, str, Any, bool], Any]  # method, setting, released value, is released


def measured(out: str, plugins: list[str], jobs: int) -> Measured:
    """The results with and without each fault; under ('', '', None, False) before unlearning."""
    import unlearnbench as ub

    common: dict[str, Any] = {
        "model": MODEL,
        "runs": [RUN],
        "seeds": [SEED],
        "limit": N_ROWS,
        "task_limit": N_DOCUMENTS,
        "tasks": ["forgetting", "perplexity", "classification"],
        "until": "epochs",
        "max_epochs": N_EPOCHS,
        "el_epochs": "deciding",
        "plugin": plugins,
        "out": out,
        "jobs": jobs,
        "device": "cpu",
        "progress": True,
        "references": ["before"],
    }
    found: Measured = {}
    for switched in rounds(declared()):
        for released in (False, True):
            chosen = {"methods": list(switched), "settings": settings(switched, released)}
            for result in ub.run(**chosen, **common):
                fault = switched.get(result.method.name)
                key = ("", "", None, False)
                if fault is not None:
                    key = (result.method.name, fault.setting, fault.released, released)
                found[key] = result
    return found


def value(result: Any, column: str) -> str:
    """A measured value as the page prints it."""
    name, scale, decimals = COLUMNS[column]
    scores = {metric: score for of in result.scores.values() for metric, score in of.items()}
    return f"{scores[name].value * scale:.{decimals}f}" if name in scores else NO_SETTING


def row(method: type[Method], fault: PublishedFault, results: Measured) -> str:
    """One row of the table."""
    setting, released = NO_SETTING, fault.code
    if fault.setting:
        setting = f"`{fault.setting}`"
        paper = paper_value(method, fault)
        released += f" ({fault.released} where the paper has {paper})"
    key = (method.name, fault.setting, fault.released)
    pair = [results.get((*key, is_released)) for is_released in (False, True)]
    numbers = [NO_SETTING] * len(COLUMNS)
    if all(pair):
        numbers = [" → ".join(values) for values in zip(*map(cells, pair), strict=True)]
    return line(f"`{method.name}`", setting, released, fault.paper, fault.source, *numbers)


def cells(result: Any) -> list[str]:
    """What is measured, column by column."""
    return [value(result, column) for column in COLUMNS]


def line(*texts: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(map(escaped, texts))} |"


def escaped(text: str) -> str:
    """A text within a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def page(results: Measured) -> str:
    """The whole page."""
    told = INTRODUCTION.format(
        n_rows=N_ROWS,
        run=RUN,
        seed=SEED,
        model=MODEL,
        n_documents=N_DOCUMENTS,
        n_epochs=N_EPOCHS,
    )
    lines = [line(*HEADER, *COLUMNS), "|---" * (len(HEADER) + len(COLUMNS)) + "|"]
    if original := results.get(("", "", None, False)):
        told_of = ["before unlearning", *[NO_SETTING] * (len(HEADER) - 1)]
        lines.append(line(*told_of, *cells(original)))
    lines += [row(method, fault, results) for method, fault in declared()]
    return told + "\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the page."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--plugin", action="append", default=[], metavar="FILE")
    options.add_argument("--out", help="folder of the results; default: one that is not kept")
    options.add_argument("--page", type=Path, default=PAGE)
    options.add_argument("--jobs", type=int, default=2)
    given = options.parse_args()
    for file in given.plugin:
        registry.load_plugin_file(Path(file))
    with tempfile.TemporaryDirectory() as folder:
        results = measured(given.out or folder, given.plugin, given.jobs)
        given.page.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
