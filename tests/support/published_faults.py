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
N_ROWS, N_DOCUMENTS = 16, 24  # to forget; of each task
# Column -> the metric's name in a result, its scale, its decimals.
COLUMNS: dict[str, tuple[str, float, int]] = {
    "EL10 (%)": ("el10", 100.0, 1),
    "MA (%)": ("ma", 100.0, 1),
    "perplexity, Pile": ("pile_ppl", 1.0, 2),
    "perplexity, WikiText": ("wikitext_ppl", 1.0, 2),
    "mean accuracy (%)": ("cls_avg", 100.0, 1),
}
HEADER = ("method", "setting", "what was released", "what the paper says", "source", "epochs")
NO_SETTING = "–"

INTRODUCTION = """# Published faults

Published code does not always do what its paper says. Each method that has such a fault does what
the paper says by default, and has a setting that does what was released. `--protocol released`
gives all these settings their released values. The table names every fault and shows what it
changes; a fault without a setting is described and not measured.

The numbers come from one run with one seed ({seed}) on the nano world, a synthetic one: {n_rows}
rows of forget set {run}, {n_documents} documents of each task, and {model}, a very small model.
They say nothing about real models, and a small difference may be chance.

In each measured cell the paper's value stands before the arrow and the released one after it. EL10
and MA say how much of the forget set the model still knows, lower is better. Perplexity (lower is
better) and accuracy (higher is better) say what else it still can. A method stops at the stop line,
so a fault may show in the number of epochs alone; "limit" means that the epoch limit came first.

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


def rounds(faults: list[tuple[type[Method], PublishedFault]]) -> list[dict[str, str]]:
    """The faults to measure, by method: in each round one of each method that has more left."""
    by_method: dict[str, list[str]] = {}
    for method, fault in faults:
        if method.plugin_kind == "methods" and fault.setting:
            by_method.setdefault(method.name, []).append(fault.setting)
    n_rounds = max(map(len, by_method.values()), default=0)
    return [
        {name: of[number] for name, of in by_method.items() if number < len(of)}
        for number in range(n_rounds)
    ]


def settings(switched: dict[str, str]) -> dict[str, Any]:
    """By METHOD.SETTING: the released value of what is switched, of other faults the paper's."""
    values = {}
    for method, fault in declared():
        if method.name in switched and fault.setting:
            is_on = switched[method.name] == fault.setting
            paper = settings_of(method)[fault.setting].text()
            values[f"{method.name}.{fault.setting}"] = fault.released if is_on else paper
    return values


def measured(out: str, plugins: list[str], jobs: int) -> dict[str, Any]:
    """Results by METHOD (as its paper says), METHOD.SETTING (released), '' (before unlearning)."""
    import unlearnbench as ub

    common: dict[str, Any] = {
        "model": MODEL,
        "runs": [RUN],
        "seeds": [SEED],
        "limit": N_ROWS,
        "task_limit": N_DOCUMENTS,
        "tasks": ["forgetting", "perplexity", "classification"],
        "plugin": plugins,
        "out": out,
        "jobs": jobs,
        "device": "cpu",
        "progress": True,
    }
    found: dict[str, Any] = {}
    to_measure = rounds(declared())
    paper = dict.fromkeys(to_measure[0], "") if to_measure else {}
    for switched in [paper, *to_measure]:
        references = ["before"] if switched is paper else ["none"]
        chosen = {"methods": list(switched), "settings": settings(switched)}
        for result in ub.run(**chosen, references=references, **common) if switched else ():
            name = result.method.name
            place = f"{name}.{switched.get(name, '')}".rstrip(".")
            found["" if name == "none" else place] = result
    return found


def value(result: Any, column: str) -> str:
    """A measured value as the page prints it."""
    name, scale, decimals = COLUMNS[column]
    scores = {metric: score for of in result.scores.values() for metric, score in of.items()}
    return f"{scores[name].value * scale:.{decimals}f}" if name in scores else NO_SETTING


def epochs(result: Any) -> str:
    """How long it trained, and how that ended if not at the stop line."""
    if result.trace is None:
        return result.status
    ended = {"forgotten": "", "not_forgotten": " (limit)"}
    return f"{result.trace.n_epochs}{ended.get(result.trace.outcome, f' ({result.trace.outcome})')}"


def row(method: type[Method], fault: PublishedFault, results: dict[str, Any]) -> str:
    """One row of the table."""
    setting, released = NO_SETTING, fault.code
    if fault.setting:
        setting = f"`{fault.setting}`"
        paper = settings_of(method)[fault.setting].text()
        released += f" ({fault.released} where the paper has {paper})"
    pair = [results.get(method.name), results.get(f"{method.name}.{fault.setting}")]
    numbers = [NO_SETTING] * (1 + len(COLUMNS))
    if all(pair):
        numbers = [" → ".join(values) for values in zip(*map(cells, pair), strict=True)]
    return line(f"`{method.name}`", setting, released, fault.paper, fault.source, *numbers)


def cells(result: Any) -> list[str]:
    """What is measured, column by column."""
    return [epochs(result), *(value(result, column) for column in COLUMNS)]


def line(*texts: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(map(escaped, texts))} |"


def escaped(text: str) -> str:
    """A text within a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def page(results: dict[str, Any]) -> str:
    """The whole page."""
    told = INTRODUCTION.format(
        n_rows=N_ROWS, run=RUN, seed=SEED, model=MODEL, n_documents=N_DOCUMENTS
    )
    lines = [line(*HEADER, *COLUMNS), "|---" * (len(HEADER) + len(COLUMNS)) + "|"]
    if original := results.get(""):
        told_of = ["before unlearning", *[NO_SETTING] * (len(HEADER) - 2)]
        lines.append(line(*told_of, NO_SETTING, *cells(original)[1:]))
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
