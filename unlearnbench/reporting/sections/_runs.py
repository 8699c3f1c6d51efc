"""The runs behind a table's rows, those that failed among them."""

from collections.abc import Iterator

from unlearnbench.analysis.columns import Column
from unlearnbench.analysis.rows import failure_of
from unlearnbench.analysis.table import Group, Row
from unlearnbench.reporting.findings import Findings
from unlearnbench.results.record import Result


def rows_with_runs(findings: Findings) -> Iterator[tuple[Group, list[tuple[Row, list[Result]]]]]:
    """Each group's rows with the results of all their runs, by forget set and seed.

    A row's own `runs` are those in its means; a failed one is in none.
    """
    for group in findings.table.groups:
        yield group, [(row, _all_of(row, findings)) for row in group.rows]


def _all_of(row: Row, findings: Findings) -> list[Result]:
    runs = sorted((*row.runs, *row.failed_runs), key=lambda run: (run.forget_set, run.seed))
    return [findings.by_key[run.key] for run in runs]


def has_failed(result: Result) -> bool:
    """Whether the result is no part of a mean: it broke off, or its model collapsed."""
    return failure_of(result) is not None


def value(result: Result, column: Column) -> float | None:
    """A metric of one run in printed units, uncapped; None if it was not measured."""
    score = result.scores.get(column.task, {}).get(column.metric)
    return None if score is None or has_failed(result) else score.value * column.scale


def epochs(result: Result) -> float | None:
    """How many epochs a method trained; None for a row that was not trained, or failed."""
    trained = result.trace is not None and not has_failed(result)
    return float(result.trace.n_epochs) if trained and result.trace is not None else None
