"""How often each compared row is first by s_z and s_m when runs, metrics or rows change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unlearnbench.analysis.columns import SCORE_NAMES, Column
from unlearnbench.analysis.normalized import normalized_scores
from unlearnbench.analysis.statistics.outcomes import Array
from unlearnbench.analysis.statistics.run_draws import draw_portions, is_exact, scores_of_draws
from unlearnbench.analysis.statistics.runs import common_runs, run_key
from unlearnbench.analysis.table import Group, Row
from unlearnbench.results.record import Result

_SAME = 1e-9  # scores that differ by less are a tie


@dataclass(frozen=True)
class Stability:
    """Who is first by each score ('s_z', 's_m') of the compared rows, and how surely."""

    rows: tuple[str, ...]  # labels
    n_runs: int = 0  # that every compared row has; they are what is drawn from
    is_exact: bool = True  # every multiset of runs was counted, not a sample of them
    #: by score: each row's share of the resamplings of runs in which it is first, ties shared;
    #: empty with fewer than two common runs
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    #: by score: left-out metric -> labels of who is first without it
    without_metric: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    #: by score: left-out row -> labels of who is first without it
    without_row: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


def rank_stability(
    group: Group, columns: Sequence[Column], results_by_key: Mapping[str, Result]
) -> Stability:
    """The stability of a group's first places; without scores (eq. 11) nothing but the labels."""
    rows = group.compared
    labels = tuple(row.label for row in rows)
    counted = tuple(column for column in columns if column.in_score)
    if len(rows) < 2 or not group.scored:
        return Stability(labels)
    n_runs = count_common_runs(group, results_by_key)
    shares = first_shares(group, columns, results_by_key)
    metrics = [column for column in counted if column.name in group.scored]
    less_metric = {
        left.name: _first(rows, [c for c in metrics if c is not left], group.cap)
        for left in metrics
        if len(metrics) > 1
    }
    less_row = {
        left.label: _first([row for row in rows if row is not left], counted, group.cap)
        for left in rows
        if len(rows) > 2
    }
    return Stability(
        labels, n_runs, is_exact(n_runs), shares, _by_score(less_metric), _by_score(less_row)
    )


def first_shares(
    group: Group, columns: Sequence[Column], results_by_key: Mapping[str, Result]
) -> Mapping[str, tuple[float, ...]]:
    """By score: each compared row's share of first places under resampling of runs.

    The same runs (forget set, seed) are drawn for every row, with replacement, as many as
    every compared row has; a reference row's run on a forget set stands for every seed.
    Means are over the drawn runs and capped as the table's are.  Empty with fewer than two.
    """
    counted = tuple(column for column in columns if column.in_score)
    if len(group.compared) < 2 or not group.scored:
        return {}
    values = _values_of_common_runs(group.compared, counted, results_by_key)
    return _shares(values, counted, group.cap) if values.shape[2] > 1 else {}


def count_common_runs(group: Group, results_by_key: Mapping[str, Result]) -> int:
    """How many runs every compared row has."""
    results = _results_of(group.compared, results_by_key)
    return len(common_runs([tuple(map(run_key, of_row)) for of_row in results]))


def _results_of(rows: Sequence[Row], results_by_key: Mapping[str, Result]) -> list[list[Result]]:
    return [[results_by_key[r.key] for r in row.runs if r.key in results_by_key] for row in rows]


def _values_of_common_runs(
    rows: Sequence[Row], columns: Sequence[Column], results_by_key: Mapping[str, Result]
) -> Array:
    """[rows, metrics, runs] values in printed units, NaN where not measured."""
    results = _results_of(rows, results_by_key)
    runs = common_runs([tuple(map(run_key, of_row)) for of_row in results])
    values = np.full((len(rows), len(columns), len(runs)), np.nan)
    for at, places in enumerate(runs):
        for row, place in enumerate(places):
            values[row, :, at] = [_value(results[row][place], column) for column in columns]
    return values


def _value(result: Result, column: Column) -> float:
    score = result.scores.get(column.task, {}).get(column.metric)
    return np.nan if score is None else score.value * column.scale


def _shares(
    values: Array, columns: Sequence[Column], cap: float | None
) -> dict[str, tuple[float, ...]]:
    """First-place shares by score."""
    n_rows, n_metrics, n_runs = values.shape
    signs = np.array([1.0 if column.higher_is_better else -1.0 for column in columns])
    caps = np.array([_cap(column, cap) for column in columns])
    shares = np.zeros((len(SCORE_NAMES), n_rows))
    for draws, weights in draw_portions(n_runs, n_rows * n_metrics):
        for at, scores in enumerate(scores_of_draws(values, draws, signs, caps)):
            is_first = scores >= scores.max(axis=1, keepdims=True) - _SAME
            shares[at] += weights @ (is_first / is_first.sum(axis=1, keepdims=True))
    return {name: tuple(map(float, of)) for name, of in zip(SCORE_NAMES, shares, strict=True)}


def _first(
    rows: Sequence[Row], columns: Sequence[Column], cap: float | None
) -> tuple[tuple[str, ...], ...]:
    """For s_z and s_m the labels of the rows that are first by the printed means."""
    scores = normalized_scores(
        {c.name: [row.mean(c.name) for row in rows] for c in columns},
        {c.name: bool(c.higher_is_better) for c in columns},
        {c.name: cap if c.capped else None for c in columns},
    )
    return tuple(
        tuple(r.label for r, v in zip(rows, of, strict=True) if v >= max(of) - _SAME)
        for of in (scores.s_z, scores.s_m)
    )


def _by_score(
    first: Mapping[str, tuple[tuple[str, ...], ...]],
) -> dict[str, dict[str, tuple[str, ...]]]:
    return {
        name: {left: both[at] for left, both in first.items()}
        for at, name in enumerate(SCORE_NAMES)
    }


def _cap(column: Column, cap: float | None) -> float:
    return cap if column.capped and cap is not None else np.inf
