"""How often each compared row is first by s_z and s_m when runs, metrics or rows change."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.build_table import scores_of
from unlearnbench.analysis.statistics.outcomes import Array, ByKey, common_runs, run_key
from unlearnbench.analysis.table import SCORE_NAMES, Column, Group, Row
from unlearnbench.results.record import Result

_SAME = 1e-9  # scores that differ by less are a tie


Firsts = tuple[tuple[str, ...], tuple[str, ...]]  # labels of who is first by s_z, and by s_m


@dataclass(frozen=True)
class Stability:
    """Who is first by each score ('s_z', 's_m') of the compared rows, and how surely."""

    rows: tuple[str, ...]  # labels
    n_runs: int = 0  # that every compared row has; they are what is drawn from
    is_exact: bool = True  # every multiset of runs was counted, not a sample of them
    #: by score: each row's share of the resamplings of runs in which it is first, ties shared;
    #: empty with fewer than two common runs
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    without_metric: Mapping[str, Firsts] = field(default_factory=dict)  # by the left-out metric
    without_row: Mapping[str, Firsts] = field(default_factory=dict)  # by the left-out row's label


def rank_stability(group: Group, columns: Sequence[Column], by_key: ByKey) -> Stability:
    """The stability of a group's first places; without scores (eq. 11) nothing but the labels."""
    rows = group.compared
    labels = tuple(row.label for row in rows)
    if len(rows) < 2 or not group.scored:
        return Stability(labels)
    n_runs = count_common_runs(group, by_key)
    shares = first_shares(group, columns, by_key)
    metrics = [column for column in columns if column.name in group.scored]
    less_metric = {
        left.name: _first(rows, [c for c in metrics if c is not left], group.cap)
        for left in metrics
        if len(metrics) > 1
    }
    less_row = {
        left.label: _first([row for row in rows if row is not left], columns, group.cap)
        for left in rows
        if len(rows) > 2
    }
    return Stability(labels, n_runs, is_exact(n_runs), shares, less_metric, less_row)


def first_shares(
    group: Group, columns: Sequence[Column], by_key: ByKey
) -> Mapping[str, tuple[float, ...]]:
    """By score: each compared row's share of first places under resampling of runs.

    The same runs (forget set, seed) are drawn for every row, with replacement, as many as
    every compared row has; a reference row's run on a forget set stands for every seed.
    Means are over the drawn runs and capped as the table's are.  Empty with fewer than two.
    """
    counted = [column for column in columns if column.in_score]
    if len(group.compared) < 2 or not group.scored:
        return {}
    values = _values_of_common_runs(group.compared, counted, by_key)
    n_rows, n_metrics, n_runs = values.shape
    if n_runs < 2:
        return {}
    signs = np.array([1.0 if column.higher_is_better else -1.0 for column in counted])
    limit = np.inf if group.cap is None else group.cap
    caps = np.array([limit if column.capped else np.inf for column in counted])
    shares = np.zeros((len(SCORE_NAMES), n_rows))
    for draws, weights in draw_portions(n_runs, n_rows * n_metrics):
        for at, scores in enumerate(scores_of_draws(values, draws, signs, caps)):
            is_first = scores >= scores.max(axis=1, keepdims=True) - _SAME
            shares[at] += weights @ (is_first / is_first.sum(axis=1, keepdims=True))
    return {name: tuple(map(float, of)) for name, of in zip(SCORE_NAMES, shares, strict=True)}


def count_common_runs(group: Group, by_key: ByKey) -> int:
    """How many runs every compared row has."""
    return len(_common_runs(group.compared, by_key))


def _common_runs(rows: Sequence[Row], by_key: ByKey) -> list[tuple[Result, ...]]:
    """For each run that all rows have, its result in every row."""
    of_rows = [[by_key[run.key] for run in row.runs if run.key in by_key] for row in rows]
    runs = common_runs([tuple(map(run_key, of_row)) for of_row in of_rows])
    return [tuple(of[place] for of, place in zip(of_rows, run, strict=True)) for run in runs]


def _values_of_common_runs(rows: Sequence[Row], columns: Sequence[Column], by_key: ByKey) -> Array:
    """[rows, metrics, runs] values in printed units, NaN where not measured."""
    runs = _common_runs(rows, by_key)
    values = np.full((len(rows), len(columns), len(runs)), np.nan)
    for run, results in enumerate(runs):
        for row, result in enumerate(results):
            for at, column in enumerate(columns):
                if (value := column.value(result)) is not None:
                    values[row, at, run] = value
    return values


def _first(rows: Sequence[Row], columns: Sequence[Column], cap: float | None) -> Firsts:
    """The rows that are first by the printed means."""
    scores = scores_of(rows, columns, cap)
    s_z, s_m = (
        tuple(r.label for r, v in zip(rows, of, strict=True) if v >= max(of) - _SAME)
        for of in (scores.s_z, scores.s_m)
    )
    return s_z, s_m


EXACT_UP_TO = 5000  # ordered draws: up to 5 runs
N_DRAWS = 5000
SEED = 20250103
_MAX_NUMBERS = 1 << 22

Draws = NDArray[np.intp]


def is_exact(n_runs: int) -> bool:
    """Whether every draw of that many runs is counted."""
    return n_runs**n_runs <= EXACT_UP_TO


def draw_portions(n_runs: int, n_values: int) -> Iterator[tuple[Draws, Array]]:
    """Draws of runs [K, n_runs] and their weights [K], in all 1.

    Every multiset with its multiplicity where there are at most 5,000 ordered draws, else
    5,000 random ones; in portions, `n_values` numbers being looked up for each drawn run.
    """
    draws, weights = _all_draws(n_runs) if is_exact(n_runs) else _random_draws(n_runs)
    step = max(1, _MAX_NUMBERS // (n_runs * n_values))
    for start in range(0, len(draws), step):
        yield draws[start : start + step], weights[start : start + step]


def scores_of_draws(values: Array, draws: Draws, signs: Array, caps: Array) -> tuple[Array, Array]:
    """s_z and s_m [K, rows] of means over each draw of runs; values [rows, metrics, runs].

    The same as `normalized_scores` of every draw's means, whose rules for caps, missing,
    infinite and constant metrics it follows; that one takes a second for a thousand draws.
    """
    means = _means(values, draws)
    means = np.where(means > caps, caps, means)  # NaN stays
    is_used = np.isfinite(means).all(axis=1, keepdims=True)  # [K, 1, metrics]
    means = np.where(is_used, means, 0.0)
    low, high = means.min(axis=1, keepdims=True), means.max(axis=1, keepdims=True)
    is_used &= high - low > 1e-12 * np.abs(means).max(axis=1, keepdims=True)
    z = _divided(means - means.mean(axis=1, keepdims=True), means.std(axis=1, keepdims=True))
    m = _divided(means - low, high - low)
    s_z, s_m = ((np.where(is_used, each, 0.0) * signs).sum(axis=2) for each in (z, m))
    return s_z, s_m


def _means(values: Array, draws: Draws) -> Array:
    """[K, rows, metrics] means over the drawn runs in which a metric was measured."""
    drawn = values[:, :, draws]  # [rows, metrics, K, runs]
    is_there = ~np.isnan(drawn)
    with np.errstate(invalid="ignore"):  # 0/0: measured in none of them; inf - inf
        means = np.where(is_there, drawn, 0.0).sum(axis=3) / is_there.sum(axis=3)
    return np.moveaxis(means, 2, 0)


def _divided(values: Array, by: Array) -> Array:
    quotients: Array = np.divide(values, by, out=np.zeros_like(values), where=by > 0)
    return quotients


def _all_draws(n_runs: int) -> tuple[Draws, Array]:
    multisets = list(combinations_with_replacement(range(n_runs), n_runs))
    orders = [math.factorial(n_runs) / math.prod(map(math.factorial, Counter(m).values()))
              for m in multisets]  # fmt: skip
    return np.array(multisets, dtype=np.intp), np.array(orders) / n_runs**n_runs


def _random_draws(n_runs: int) -> tuple[Draws, Array]:
    rng = np.random.default_rng([SEED, n_runs])
    draws = rng.integers(n_runs, size=(N_DRAWS, n_runs))
    return draws, np.full(N_DRAWS, 1.0 / N_DRAWS)
