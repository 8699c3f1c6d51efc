"""Every run on its own line: each forget set, all tasks, and each row's mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from unlearnbench.analysis import footnotes
from unlearnbench.analysis.columns import ABSENT, EPOCHS, Column
from unlearnbench.analysis.table import LEFT_OUT, NOT_FORGOTTEN, Group, Note, Row
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Block, Listing
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.sections._shown import epochs, has_failed, rows_with_runs, value
from unlearnbench.results.record import Result

_MEAN = "mean"
# The first listing: what was forgotten, then what the model still can do.
_FORGETTING = ("el10", "ma", "bertscore_f1", "entropy")
_CLASSIFICATION = "classification"


@dataclass(frozen=True)
class _Runs:
    """A group's rows with all their runs."""

    group: Group
    rows: Sequence[tuple[Row, Sequence[Result]]]

    @cached_property
    def has_seeds(self) -> bool:
        """Whether a forget set was run with more than one seed."""
        return len({result.seed for _, results in self.rows for result in results}) > 1

    @cached_property
    def has_means(self) -> bool:
        """Whether a mean would say more than its only run."""
        return any(len(results) > 1 for _, results in self.rows)


def blocks(findings: Findings) -> tuple[Block, ...]:
    """Two listings per group: forgetting and classification, then all the rest."""
    made: list[Block] = []
    for group, rows in rows_with_runs(findings):
        first, rest = _columns(findings, group)
        runs = _Runs(group, rows)
        if first:
            title = f"Every run: forgetting and classification, {group.title}"
            made.append(_listing(runs, title, printing.anchor("runs", group.title), first))
        title = f"Every run: dialogue, perplexity and epochs, {group.title}"
        made.append(_listing(runs, title, printing.anchor("runs-rest", group.title), rest, True))
    return tuple(made)


def _columns(findings: Findings, group: Group) -> tuple[list[Column], list[Column]]:
    """The group's measured columns in two parts, those of an average standing before it."""
    table = findings.table
    every = (*table.other_columns, *table.metric_columns)
    measured = [c for c in every if any(c.name in row.cells for row in group.rows)]
    by_name = {c.name: c for c in measured}
    first = [by_name[name] for name in _FORGETTING if name in by_name]
    first += [c for c in measured if c.task == _CLASSIFICATION]
    # The columns of one task stay together; what is left of the first part's tasks comes last.
    tasks = list(dict.fromkeys(c.task for c in table.metric_columns if c not in first))
    rest = [c for c in measured if c not in first]
    last = len(tasks)
    return first, sorted(rest, key=lambda c: tasks.index(c.task) if c.task in tasks else last)


def _listing(
    runs: _Runs, title: str, name: str, columns: Sequence[Column], outcome: bool = False
) -> Listing:
    seed = ("Seed",) if runs.has_seeds else ()
    labels = ("Row", "Forget set", *seed)
    ends = ("Epochs", "Status") if outcome else ()
    lines = [line for row, results in runs.rows for line in _lines(runs, row, results, columns)]
    n_printed = len(labels) + len(columns) + len(ends)  # without `ends` a line's last two go
    return Listing(
        name,
        title,
        (*labels, *map(_header, columns), *ends),
        tuple(line[:n_printed] for line in lines),
        len(labels),
        _notes(runs, columns),
    )


def _header(column: Column) -> str:
    return printing.name(column) if _is_short(column) else printing.header(column)


def _is_short(column: Column) -> bool:
    # The parts of an average: the unit of so many columns is said once, in a note.
    return not column.in_score and printing.unit(column) not in ("", "%")


def _lines(
    runs: _Runs, row: Row, results: Sequence[Result], columns: Sequence[Column]
) -> list[tuple[str, ...]]:
    lines = [_line(runs, row, result, columns) for result in results]
    return [*lines, _mean_line(runs, row, columns)] if runs.has_means else lines


def _line(runs: _Runs, row: Row, result: Result, columns: Sequence[Column]) -> tuple[str, ...]:
    seed = (str(result.seed),) if runs.has_seeds else ()
    label = f"{row.label} {_marker(result)}".strip()
    values = (column.text(value(result, column), runs.group.cap) for column in columns)
    n_epochs = EPOCHS.text(epochs(result)).removesuffix(".0")
    return (label, result.forget_set.run, *seed, *values, n_epochs, _status(result))


def _mean_line(runs: _Runs, row: Row, columns: Sequence[Column]) -> tuple[str, ...]:
    seed = ("",) if runs.has_seeds else ()
    values = (runs.group.text(row, column) for column in (*columns, EPOCHS))
    return (row.label, _MEAN, *seed, *values, "")


def _marker(result: Result) -> str:
    if has_failed(result):
        return LEFT_OUT
    return NOT_FORGOTTEN if result.status == "not_forgotten" else ""


def _status(result: Result) -> str:
    if has_failed(result):
        return "failed"
    if result.role != "method":
        return ABSENT
    return "not forgotten" if result.status == "not_forgotten" else "forgotten"


def _notes(runs: _Runs, columns: Sequence[Column]) -> tuple[Note, ...]:
    group, labels = runs.group, {c.name: c.label for c in columns}
    return printing.notes(
        ("units", _sentence(printing.units(filter(_is_short, columns)))),
        ("capped", _capped(group, columns)),
        ("mean", _about_means(runs)),
        ("not_forgotten", footnotes.not_forgotten(group), NOT_FORGOTTEN),
        ("left_out", footnotes.left_out(group), LEFT_OUT),
        ("degenerate", footnotes.degenerate(group, labels)),
    )


def _sentence(text: str) -> str:
    return f"{text}." if text else ""


def _capped(group: Group, columns: Sequence[Column]) -> str:
    if group.cap is None or not any(c.capped for c in columns):
        return ""
    return f"A perplexity above {group.cap:g}, of a run or a mean, is printed >{group.cap:g}."


def _about_means(runs: _Runs) -> str:
    if not runs.has_means:
        return "One run per row: no means."
    return "A row's mean is over its runs that did not fail, as in the comparison table."
