"""Paired comparison of two rows of a table on the same documents."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from unlearnbench.analysis.columns import Column
from unlearnbench.analysis.statistics.bootstrap import Interval, intervals
from unlearnbench.analysis.statistics.matching import difference, matched
from unlearnbench.analysis.statistics.outcomes import Outcomes, outcomes_of
from unlearnbench.analysis.statistics.permutation import p_values
from unlearnbench.analysis.table import Group, Row
from unlearnbench.results.record import Result

#: With more rows than this only the best is compared with the second, corrected for all pairs.
ALL_PAIRS_UP_TO = 40
LEVEL = 0.05  # a corrected p-value under it tells two rows apart

Matched = tuple[Outcomes, Outcomes]


@dataclass(frozen=True)
class PairedComparison:
    """First minus second over the runs and documents that both have, in printed units."""

    difference: float
    low: float | None  # 95% interval over documents; None where there is none
    high: float | None
    p: float  # two-sided, not corrected
    n_documents: int


@dataclass(frozen=True)
class Pair:
    """Two rows compared in one column; the differences in printed units."""

    first: str  # row labels
    second: str
    column: str  # its name
    difference: float
    low: float | None  # 95%, of this pair alone
    high: float | None
    p: float
    p_corrected: float  # for the number of pairs of this column and group
    n_documents: int


def compare_pair(first: Outcomes, second: Outcomes) -> PairedComparison | None:
    """Compare two cells on the same documents; None if they have too little in common.

    Also None where a value is not finite.  See `matching.matched` and `sign_flip.p_values`.
    """
    pair = comparable(first, second)
    return None if pair is None else _compared([pair])[0]


def comparable(first: Outcomes | None, second: Outcomes | None) -> Matched | None:
    """The two over what they have in common, if that can be tested."""
    if first is None or second is None:
        return None
    pair = matched(first, second)
    return pair if pair is not None and all(math.isfinite(each.value) for each in pair) else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment; None and NaN stay as they are and are not counted."""
    known = [(p, at) for at, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    adjusted, least = list(p_values), 0.0
    for rank, (p, at) in enumerate(sorted(known)):
        least = max(least, min(1.0, (len(known) - rank) * p))
        adjusted[at] = least
    return adjusted


def pairwise(
    group: Group, column: Column, results_by_key: Mapping[str, Result]
) -> tuple[Pair, ...]:
    """Every two compared rows of a group in one column, with Holm's correction over them.

    Pairs that cannot be tested are left out and not counted.  With more than 40 compared
    rows only the best is compared with the second, Bonferroni-corrected for all pairs.
    """
    rows = group.compared
    outcomes = [row_outcomes(row, column, results_by_key) for row in rows]
    places = list(combinations(range(len(rows)), 2))
    if len(rows) > ALL_PAIRS_UP_TO:
        places = best_and_second(rows, column.name)
    tested = {at: comparable(outcomes[at[0]], outcomes[at[1]]) for at in places}
    pairs = {at: pair for at, pair in tested.items() if pair is not None}
    found = _compared(list(pairs.values()))
    corrected = corrections([each.p for each in found], len(rows))
    return tuple(
        Pair(
            rows[i].label, rows[j].label, column.name, each.difference, each.low, each.high,
            each.p, p, each.n_documents,
        )
        for (i, j), each, p in zip(pairs, found, corrected, strict=True)
    )  # fmt: skip


def corrections(p_values: Sequence[float], n_rows: int) -> list[float]:
    """The p-values of a column's pairs, corrected: Holm's, or Bonferroni's above 40 rows."""
    if n_rows > ALL_PAIRS_UP_TO:
        return [min(1.0, p * math.comb(n_rows, 2)) for p in p_values]
    return [p for p in holm(p_values) if p is not None]


def best_and_second(rows: Sequence[Row], name: str) -> list[tuple[int, int]]:
    """The places of a column's best row and of each second; none if two rows share the best."""
    ranks = [row.cells[name].rank if name in row.cells else None for row in rows]
    best = [at for at, rank in enumerate(ranks) if rank == 1]
    second = [at for at, rank in enumerate(ranks) if rank == 2]
    return [(best[0], at) for at in second] if len(best) == 1 else []


def row_outcomes(row: Row, column: Column, results_by_key: Mapping[str, Result]) -> Outcomes | None:
    """The outcomes behind a row's cell; None unless they are all there and give its mean."""
    cell = row.cells.get(column.name)
    found = [results_by_key.get(run.key) for run in row.runs]
    results = [result for result in found if result is not None]
    if cell is None or len(results) < len(found):
        return None
    outcomes = outcomes_of(results, column)
    if outcomes is None or not math.isclose(outcomes.value, cell.mean, rel_tol=1e-6, abs_tol=1e-12):
        return None
    return outcomes


def _compared(pairs: Sequence[Matched]) -> list[PairedComparison]:
    found = intervals([difference(pair) for pair in pairs])
    return [
        _comparison(pair, ends, p)
        for pair, ends, p in zip(pairs, found, p_values(pairs), strict=True)
    ]


def _comparison(pair: Matched, ends: Interval | None, p: float) -> PairedComparison:
    low, high = ends if ends is not None else (None, None)
    return PairedComparison(
        pair[0].value - pair[1].value, low, high, p, n_documents=pair[0].n_documents
    )
