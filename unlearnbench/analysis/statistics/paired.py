"""Paired comparison of two rows of a table on the same documents."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from unlearnbench.analysis.statistics.bootstrap import intervals
from unlearnbench.analysis.statistics.outcomes import (
    Array,
    ByKey,
    Outcomes,
    difference,
    matched,
    outcomes_of,
)
from unlearnbench.analysis.table import Column, Group, Row

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
class Pair(PairedComparison):
    """Two rows compared in one column."""

    first: str  # row labels
    second: str
    p_corrected: float  # for the number of pairs of this column and group


def compare_pair(first: Outcomes, second: Outcomes) -> PairedComparison | None:
    """Compare two cells on the same documents; None if they have too little in common.

    Also None where a value is not finite.  See `matched` and `p_values`.
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
    counted = [(p, at) for at, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    adjusted, least = list(p_values), 0.0
    for rank, (p, at) in enumerate(sorted(counted)):
        least = max(least, min(1.0, (len(counted) - rank) * p))
        adjusted[at] = least
    return adjusted


def pairwise(group: Group, column: Column, by_key: ByKey) -> tuple[Pair, ...]:
    """Every two compared rows of a group in one column, with Holm's correction over them.

    Pairs that cannot be tested are left out and not counted.  With more than 40 compared
    rows only the best is compared with the second, Bonferroni-corrected for all pairs.
    """
    rows = group.compared
    outcomes = [row_outcomes(row, column, by_key) for row in rows]
    places = list(combinations(range(len(rows)), 2))
    if len(rows) > ALL_PAIRS_UP_TO:
        places = best_and_second(rows, column.name)
    tested = {at: comparable(outcomes[at[0]], outcomes[at[1]]) for at in places}
    pairs = {at: pair for at, pair in tested.items() if pair is not None}
    compared = _compared(list(pairs.values()))
    corrected = corrections([each.p for each in compared], len(rows))
    return tuple(
        Pair(**vars(each), first=rows[i].label, second=rows[j].label, p_corrected=p)
        for (i, j), each, p in zip(pairs, compared, corrected, strict=True)
    )


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


def row_outcomes(row: Row, column: Column, by_key: ByKey) -> Outcomes | None:
    """The outcomes behind a row's cell; None unless they are all there and give its mean."""
    cell = row.cells.get(column.name)
    if cell is None or not all(run.key in by_key for run in row.runs):
        return None
    results = [by_key[run.key] for run in row.runs]
    outcomes = outcomes_of(results, column)
    if outcomes is None or not math.isclose(outcomes.value, cell.mean, rel_tol=1e-6, abs_tol=1e-12):
        return None
    return outcomes


def _compared(pairs: Sequence[Matched]) -> list[PairedComparison]:
    compared = []
    ends_of = intervals([difference(pair) for pair in pairs])
    for (a, b), ends, p in zip(pairs, ends_of, p_values(pairs), strict=True):
        low, high = ends or (None, None)
        compared.append(PairedComparison(a.value - b.value, low, high, p, a.n_documents))
    return compared


N_SIGNS = 9999
EXACT_UP_TO = 13  # documents that differ: 8,192 relabellings
SEED = 20250102
_MAX_NUMBERS = 1 << 22
_ROUNDING = 1e-12


def p_values(pairs: Sequence[tuple[Outcomes, Outcomes]]) -> list[float]:
    """Two-sided p-values of matched pairs: the share of relabellings with as large a difference.

    A relabelling swaps the two cells' outcomes of some documents, all runs of a document
    together.  Of up to 13 documents that differ all relabellings are counted; of more, 9,999
    random ones and the observed.  Where none of those is as extreme, p is Hoeffding's bound on
    the exact one if that is smaller than 1/10,000, so that corrected p-values of many pairs
    can still be small.  Perplexities are compared on the log scale, see `effects`.
    """
    p_of_pairs = [1.0] * len(pairs)
    sampled: dict[int, list[tuple[int, Array]]] = defaultdict(list)
    for at, pair in enumerate(pairs):
        of_documents = effects(*pair)
        differing = of_documents[of_documents != 0.0]
        if _disagrees(differing, pair) or not len(differing):
            continue
        if len(differing) <= EXACT_UP_TO:
            p_of_pairs[at] = _exact(differing)
        else:
            sampled[len(of_documents)].append((at, of_documents))
    for members in sampled.values():
        step = max(1, _MAX_NUMBERS // N_SIGNS)
        for start in range(0, len(members), step):
            some = members[start : start + step]
            of_pairs = _sampled(np.stack([each for _, each in some], axis=1))
            for (at, _), p in zip(some, of_pairs, strict=True):
                p_of_pairs[at] = float(p)
    return p_of_pairs


def effects(first: Outcomes, second: Outcomes) -> Array:
    """[D] what each document adds to first minus second; swapping it turns the sign.

    Of perplexities to the difference of their logarithms, to first order around the two
    cells' midpoint, which no swap moves: runs weigh there by their share of the perplexity.
    """
    strata = list(zip(first.strata, second.strata, strict=True))
    weights = [a.weights for a, _ in strata]
    if first.is_exp:
        middle = np.concatenate([(a.values + b.values).mean(axis=1) / 2 for a, b in strata])
        shares = np.concatenate(weights) * np.exp(middle - middle.max())
        ends = np.cumsum([len(each) for each in weights])[:-1]
        weights = np.split(shares / shares.sum(), ends)
    return np.concatenate(
        [_effects(w, a.values, b.values) for w, (a, b) in zip(weights, strata, strict=True)]
    )


def _effects(weights: Array, first: Array, second: Array) -> Array:
    by_document = weights @ (first - second) / first.shape[1]
    # Equal sums over runs may differ by rounding: that is no difference.
    largest = weights @ (np.abs(first) + np.abs(second)) / first.shape[1]
    return np.where(np.abs(by_document) <= _ROUNDING * largest, 0.0, by_document)


def _disagrees(differing: Array, pair: tuple[Outcomes, Outcomes]) -> bool:
    """Whether the printed perplexities differ the other way than their tested logarithms.

    They may where the runs' differences are large and of both signs: nothing is told apart.
    """
    return pair[0].is_exp and differing.sum() * (pair[0].value - pair[1].value) < 0


def _exact(differing: Array) -> float:
    sums = np.abs(_all_signs(len(differing)) @ differing)
    return float((sums >= _threshold(differing)).mean())


def _sampled(of_documents: Array) -> Array:
    """[pairs] p-values of effects [D, pairs], over the same random relabellings."""
    thresholds = _threshold(of_documents)
    n_as_large = np.zeros(of_documents.shape[1])
    for signs in _random_signs(len(of_documents)):
        n_as_large += (np.abs(signs @ of_documents) >= thresholds).sum(axis=0)
    bounds = np.minimum(1 / (N_SIGNS + 1), _bound(of_documents))
    p: Array = np.where(n_as_large > 0, (n_as_large + 1) / (N_SIGNS + 1), bounds)
    return p


def _threshold(of_documents: Array) -> Array:
    """What counts as as large as observed, rounding allowed for."""
    return np.abs(of_documents.sum(axis=0)) - _ROUNDING * np.abs(of_documents).sum(axis=0)


def _bound(of_documents: Array) -> Array:
    """Hoeffding's inequality for a sum of effects with random signs, both tails."""
    squares = (of_documents**2).sum(axis=0)
    p: Array = 2.0 * np.exp(-(of_documents.sum(axis=0) ** 2) / (2.0 * squares))
    return p


def _random_signs(n_documents: int) -> Iterator[Array]:
    """[draws, D] of -1 and 1, in portions; the same for every pair."""
    rng = np.random.default_rng([SEED, n_documents])
    step = math.ceil(_MAX_NUMBERS / n_documents)
    for start in range(0, N_SIGNS, step):
        size = (min(step, N_SIGNS - start), n_documents)
        signs = rng.integers(2, size=size, dtype=np.int8).astype(float)
        signs *= 2.0
        signs -= 1.0
        yield signs


@cache
def _all_signs(n: int) -> Array:
    """[2^n, n] every assignment of -1 and 1."""
    return np.where((np.arange(2**n)[:, None] >> np.arange(n)) & 1, 1.0, -1.0)
