"""`unlearnbench import` and `verify`: the evaluation logs of other harnesses."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import check_absent, visible
from unlearnbench.reading import to_stderr

if TYPE_CHECKING:
    from unlearnbench.logs.log import Check, Log, Verification

NOT_SOUND = 1
_MANY = 200  # checks: above it only those that disagree, or have nothing to compare with, are shown
_FILE = click.Path(path_type=Path)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option(
    "--reference", type=_FILE, metavar="RETAIN_FILE", help="the retrained model's log, imported too"
)
@click.option("--label", metavar="NAME", help="the row's name in a table  [default: the model's]")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="of a file with many models only this one; repeatable",
)
@click.option(
    "--role",
    type=click.Choice(["before", "retrained", "null", "sham", "method"]),
    default="method",
    show_default=True,
    help="what the models are: before unlearning, retrained, its second seed, changed but not "
    "unlearned, or unlearned",
)
@click.option("--benchmark", metavar="NAME", help="whose log it is  [default: as the file says]")
@click.option("--split", metavar="NAME", help="the forget split  [default: by its items]")
@click.option(
    "--group",
    metavar="NAME",
    help="compare them with the results of this model  [default: the benchmark and split]",
)
@click.option(
    "--out", type=_FILE, default=Path("results"), show_default=True, help="folder of the results"
)
def import_logs(files: tuple[Path, ...], reference: Path | None, out: Path, **given: Any) -> int:
    """Make result rows of what other harnesses wrote.

    FILE, gzipped or not, is a log of OpenUnlearning (TOFU_EVAL.json, MUSE_EVAL.json), TOFU's
    eval_log_aggregated.json, one of MUSE's tables, UDS's method_results.json, or lm-eval's
    results.  `unlearnbench report` then shows them, with every column that can be derived.
    """
    from unlearnbench.logs.formats import read_logs
    from unlearnbench.logs.imports import Wanted, check_reference, result_of
    from unlearnbench.results.store import Store

    label, role = given["label"], given["role"]
    check_absent({f"--{name}": value for name, value in given.items() if value is not None})
    logs = [log for path in files for log in _chosen(read_logs(path), given["models"], path)]
    if label is not None and len(logs) > 1:
        raise UserError(f"--label {label} is one name, and there are {len(logs)} models")
    common = {name: given[name] for name in ("group", "benchmark", "split")}
    wanted = [(log, Wanted(role, label, **common)) for log in logs]
    if reference is not None:
        other = _one(read_logs(reference), reference)
        check_reference(logs, other)
        wanted.insert(0, (other, Wanted("retrained", **common)))
    results = [result_of(log, of, place) for place, (log, of) in enumerate(wanted)]
    store = Store(out)
    with store.writing():
        for result in results:
            store.save(result)
            values = sum(score.n for task in result.scores.values() for score in task.values())
            n = sum(map(len, result.scores.values()))
            where = " ".join((result.forget_set.name, result.forget_set.run))
            row = f"{result.label} ({result.role}, {where})"
            of_items = f"{values} values of items" if values else "means alone"
            click.echo(visible(f"{row}: {n} metrics, {of_items}"))
    to_stderr(f"see them with: unlearnbench report {out}")
    return 0


def _chosen(logs: "Sequence[Log]", models: Sequence[str], path: Path) -> "list[Log]":
    """The models asked for, or all; raises `UserError` if the file has none of them."""
    chosen = [log for log in logs if not models or log.model in models]
    if not chosen:
        names = ", ".join(dict.fromkeys(log.model for log in logs))
        raise UserError(f"--model {', '.join(models)}: {path.name} has {names:.300}")
    return chosen


def _one(logs: "Sequence[Log]", path: Path) -> "Log":
    if len(logs) > 1:
        raise UserError(
            f"--reference {path.name} holds {len(logs)} models; import the retrained one with "
            "--role retrained --model NAME"
        )
    return logs[0]


@click.command()
@click.argument("file", type=_FILE)
@click.option("--reference", type=_FILE, metavar="RETAIN", help="the retrained model's log")
@click.option("--all", "every", is_flag=True, help="print all aggregates of a file of many models")
def verify(file: Path, reference: Path | None, every: bool) -> int:
    """Recompute every aggregate of a log from its items, in full precision.

    Beside each stands what the file, or the summary beside it, states.  Values that no model can
    have are flagged: forget quality off the ladder of its test, PrivLeak out of its range, shares
    outside 0 and 1, a model utility that is not the harmonic mean of its nine.

    Exit status: 0 all agree, 1 something does not, 2 usage.
    """
    from unlearnbench.logs.formats import verify

    verification = verify(file, reference)
    for line in _lines(verification, every):
        click.echo(visible(line))
    return 0 if verification.is_sound else NOT_SOUND


def _lines(verification: "Verification", every: bool) -> Iterator[str]:
    yield verification.title
    checks = verification.checks
    shown = checks
    if len(checks) > _MANY and not every:
        shown = tuple(check for check in checks if check.verdict in ("DIFFERS", ""))
    yield from _table(shown)
    if len(shown) < len(checks):
        yield f"{len(checks) - len(shown)} more that agree: --all prints them"
    for problem in verification.problems:
        yield f"wrong: {problem}"
    for note in verification.notes:
        yield f"note: {note}"
    yield _summary(verification)


def _table(checks: "Sequence[Check]") -> Iterator[str]:
    from tabulate import tabulate

    rows = [
        (c.name, repr(c.recomputed), "" if c.stated is None else repr(c.stated), c.verdict, c.where)
        for c in checks
    ]
    if rows:
        headers = ("", "recomputed", "stated", "", "by")
        yield tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True)


def _summary(verification: "Verification") -> str:
    stated = [check for check in verification.checks if check.stated is not None]
    n_agree = sum(check.agrees for check in stated)
    parts = [f"{n_agree} of {len(stated)} stated aggregates agree"] if stated else []
    parts += [f"{verification.rows} agree"] if verification.rows else []
    n = len(verification.problems)
    parts += [f"{n} thing{'s' if n > 1 else ''} wrong"] if n else []
    return "; ".join(parts) or "nothing is stated to compare with"
