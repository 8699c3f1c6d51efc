"""Every run on its own line: each forget set, all tasks, and each row's mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from unlearnbench.analysis import footnotes
from unlearnbench.analysis.build_table import failure_of
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import (
    ABSENT,
    EPOCHS,
    LEFT_OUT,
    NOT_FORGOTTEN,
    Column,
    Group,
    Note,
    Row,
    Table,
)
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Findings, Listing
from unlearnbench.results.record import Result

_MOST_COLUMNS = 15  # of metrics in one listing


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


def blocks(findings: Findings) -> Iterator[Listing]:
    """One or more listings per group, the columns of a task in one of them."""
    for group, rows in rows_with_runs(findings):
        parts = _parts(findings.table, group)
        for i, columns in enumerate(parts, start=1):
            tasks = listed(dict.fromkeys(column.task for column in columns))
            title = f"Every run, {group.title}" + (f": {tasks}" if tasks else "")
            name = printing.anchor("runs", group.title, *([] if i == 1 else [str(i)]))
            yield _listing(_Runs(group, rows), title, name, columns, i == len(parts))


def _parts(table: Table, group: Group) -> list[list[Column]]:
    """The group's measured columns by task, as many tasks together as a listing has room for.

    What is no part of the scores stands before its task's only column in them, which is its
    average, and else in the end.
    """
    measured = {name for row in group.rows for name in row.cells}
    scored = [column for column in table.metric_columns if column.name in measured]
    others = [column for column in table.other_columns if column.name in measured]
    parts: list[list[Column]] = [[]]
    for task in dict.fromkeys(column.task for column in scored):
        own = [column for column in scored if column.task == task]
        if len(own) == 1:
            own = [*(column for column in others if column.task == task), *own]
            others = [column for column in others if column.task != task]
        if parts[-1] and len(parts[-1]) + len(own) > _MOST_COLUMNS:
            parts.append([])
        parts[-1] += own
    parts[-1] += others
    return parts


def _listing(
    runs: _Runs, title: str, name: str, columns: Sequence[Column], outcome: bool = False
) -> Listing:
    labels = ("Row", "Forget set", *(("Seed",) if runs.has_seeds else ()))
    ends = ("Epochs", "Status") if outcome else ()
    lines: list[tuple[str, ...]] = []
    for row, results in runs.rows:
        lines += [_line(runs, row, result, columns) for result in results]
        if runs.has_means:
            means = (runs.group.text(row, column) for column in (*columns, EPOCHS))
            seed = ("",) if runs.has_seeds else ()
            lines.append((row.label, "mean", *seed, *means, ""))
    names = (printing.name(c) if _is_short(c) else printing.header(c) for c in columns)
    headers = (*labels, *names, *ends)
    # Without `ends` a line's last two go.
    rows = tuple(line[: len(headers)] for line in lines)
    return Listing(name, title, headers, rows, len(labels), _notes(runs, columns))


def _is_short(column: Column) -> bool:
    # The parts of an average: the unit of so many columns is said once, in a note.
    return not column.in_score and printing.unit(column) not in ("", "%")


def _line(runs: _Runs, row: Row, result: Result, columns: Sequence[Column]) -> tuple[str, ...]:
    seed = (str(result.seed),) if runs.has_seeds else ()
    missed = result.role == "method" and result.status == "not_forgotten"
    marker, status = NOT_FORGOTTEN if missed else "", "not forgotten" if missed else "forgotten"
    if has_failed(result):
        marker, status = LEFT_OUT, "failed"
    elif result.role != "method":
        status = ABSENT
    values = (column.text(value(result, column), runs.group.cap) for column in columns)
    n_epochs = EPOCHS.text(epochs(result)).removesuffix(".0")
    label = f"{row.label} {marker}".strip()
    return (label, result.forget_set.run, *seed, *values, n_epochs, status)


def _notes(runs: _Runs, columns: Sequence[Column]) -> tuple[Note, ...]:
    group, labels = runs.group, {c.name: c.label for c in columns}
    units, cap, capped = printing.units(filter(_is_short, columns)), group.cap, ""
    if cap is not None and any(column.capped for column in columns):
        capped = f"A perplexity above {cap:g}, of a run or a mean, is printed >{cap:g}."
    means = "One run per row: no means."
    if runs.has_means:
        means = "A row's mean is over its runs that did not fail, as in the comparison table."
    return printing.notes(
        ("units", f"{units}." if units else ""),
        ("capped", capped),
        ("mean", means),
        ("not_forgotten", footnotes.not_forgotten(group), NOT_FORGOTTEN),
        ("left_out", footnotes.left_out(group), LEFT_OUT),
        ("degenerate", footnotes.degenerate(group, labels)),
    )


def rows_with_runs(findings: Findings) -> Iterator[tuple[Group, list[tuple[Row, list[Result]]]]]:
    """Each group's rows with the results of all their runs, by forget set and seed.

    A row's own `runs` are those in its means; a failed one is in none.
    """
    for group in findings.table.groups:
        rows = []
        for row in group.rows:
            runs = sorted((*row.runs, *row.failed_runs), key=lambda run: (run.forget_set, run.seed))
            rows.append((row, [findings.by_key[run.key] for run in runs]))
        yield group, rows


def has_failed(result: Result) -> bool:
    """Whether the result is no part of a mean: it broke off, or its model collapsed."""
    return failure_of(result) is not None


def value(result: Result, column: Column) -> float | None:
    """A metric of one run in printed units, uncapped; None if it was not measured."""
    return None if has_failed(result) else column.value(result)


def epochs(result: Result) -> float | None:
    """How many epochs a method trained; None for a row that was not trained, or failed."""
    trained = result.trace is not None and not has_failed(result)
    return float(result.trace.n_epochs) if trained and result.trace is not None else None
