"""Resamplings of runs, and the normalised scores of all of them at once."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.statistics.outcomes import Array

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
    found: Array = np.divide(values, by, out=np.zeros_like(values), where=by > 0)
    return found


def _all_draws(n_runs: int) -> tuple[Draws, Array]:
    multisets = list(combinations_with_replacement(range(n_runs), n_runs))
    orders = [math.factorial(n_runs) / math.prod(map(math.factorial, Counter(m).values()))
              for m in multisets]  # fmt: skip
    return np.array(multisets, dtype=np.intp), np.array(orders) / n_runs**n_runs


def _random_draws(n_runs: int) -> tuple[Draws, Array]:
    rng = np.random.default_rng([SEED, n_runs])
    draws = rng.integers(n_runs, size=(N_DRAWS, n_runs))
    return draws, np.full(N_DRAWS, 1.0 / N_DRAWS)
