"""Every value that two results folders both measured, with its paired comparison."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unlearnbench.analysis.columns import ABSENT, EPOCHS, S_M, S_Z, Column
from unlearnbench.analysis.table import Row
from unlearnbench.reporting.comparison.rows import Matched
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.printing import difference, name, p_value
from unlearnbench.results.record import Result

if TYPE_CHECKING:
    from unlearnbench.analysis.statistics.paired import PairedComparison

LARGE = 1000


@dataclass(frozen=True)
class Value:
    """One column of two rows: second minus first, in printed units."""

    label: str
    column: Column
    first: float
    second: float
    caps: tuple[float | None, float | None]
    tested: "PairedComparison | None"
    p: float | None = None  # corrected

    @property
    def is_equal(self) -> bool:
        """Whether the two are the same to the last digit stored."""
        return self.first == self.second

    @property
    def is_sure(self) -> bool:
        """Whether the difference is told apart from none."""
        from unlearnbench.analysis.statistics.paired import LEVEL

        return self.p is not None and self.p < LEVEL

    @property
    def texts(self) -> tuple[str, ...]:
        """Row, metric, both values, difference, interval, p-value, number of documents."""
        gap = self.second - self.first
        shown = _signed(self.column, gap) if math.isfinite(gap) else ABSENT
        values = (self.column.text(v, c) for v, c in zip(self._both, self.caps, strict=True))
        return (self.label, self.column.label, *values, shown, *self._test)

    @property
    def _both(self) -> tuple[float, float]:
        return self.first, self.second

    @property
    def _test(self) -> tuple[str, str, str]:
        tested = self.tested
        if tested is None or self.p is None:
            return ABSENT, ABSENT, ABSENT
        ends = (tested.low, tested.high)
        told = [_signed(self.column, end) for end in ends if end is not None]
        shown = " to ".join(told) if len(told) == len(ends) else ABSENT
        return shown, p_value(self.p), str(tested.n_documents)


def _signed(column: Column, value: float) -> str:
    # Perplexities of a destroyed model: no decimals of a hundred thousand.
    return f"{value:+,.0f}" if abs(value) >= LARGE else difference(column, value)


def compared_values(matched: Matched, first: Findings, second: Findings) -> list[Value]:
    """Every value of the main columns that both have; p-values are Holm's over all of them."""
    from unlearnbench.analysis.statistics.paired import holm

    columns = [*_common(first, second, others=False), EPOCHS, S_Z, S_M]
    values = [
        Value(a.label, column, x, y, (matched.first.cap, matched.second.cap), test)
        for a, b in matched.rows
        for column, x, y in _both(a, b, columns)
        for test in [_tested(a, b, column, first, second)]
    ]
    corrected = holm([value.tested.p if value.tested else None for value in values])
    return [replace(value, p=p) for value, p in zip(values, corrected, strict=True)]


def other_differences(matched: Matched, first: Findings, second: Findings) -> list[str]:
    """The names of the columns outside the main table in which some row differs."""
    columns = _common(first, second, others=True)
    found = [c for a, b in matched.rows for c, x, y in _both(a, b, columns) if x != y]
    return list(dict.fromkeys(map(name, found)))


def _common(first: Findings, second: Findings, others: bool) -> list[Column]:
    """The columns of the first table that mean the same in the second."""
    tables = first.table, second.table
    ours, theirs = (t.other_columns if others else t.metric_columns for t in tables)
    known = {(c.name, c.task, c.scale) for c in theirs}
    return [c for c in ours if (c.name, c.task, c.scale) in known]


def _both(a: Row, b: Row, columns: Sequence[Column]) -> Iterator[tuple[Column, float, float]]:
    for column in columns:
        x, y = a.mean(column.name), b.mean(column.name)
        if x is not None and y is not None:
            yield column, x, y


def _tested(
    a: Row, b: Row, column: Column, first: Findings, second: Findings
) -> "PairedComparison | None":
    """Second minus first on the same documents; None where that cannot be had."""
    from unlearnbench.analysis.statistics.paired import compare_pair, row_outcomes

    if not column.task or not _same_documents(column, first.results_of(a), second.results_of(b)):
        return None
    ours = row_outcomes(a, column, first.by_key)
    theirs = row_outcomes(b, column, second.by_key)
    return compare_pair(theirs, ours) if ours is not None and theirs is not None else None


def _same_documents(column: Column, ours: Sequence[Result], theirs: Sequence[Result]) -> bool:
    """Whether a document's name means the same document in both folders.

    Forget sets are told apart by the hash of their tokens; questions and texts start their
    numbers again in every file, so the files' hashes must be the same.
    """
    if column.documents == "rows":
        return True
    of_each = [r.identity.get(column.documents) or {} for r in (*ours, *theirs)]
    files = [repr(sorted(digests.items())) for digests in of_each]
    return len(set(files)) == 1
