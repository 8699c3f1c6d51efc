"""KLOM: how far an unlearned model's margins are from retrained models', over seeds (2410.23232).

A margin is z_y - logsumexp_{v != y} z_v.  Source of the constants: RoyRin/data-unlearning-bench.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
N_BINS = 20
EPSILON = 1e-5  # the least share of a bin that retrained models can have
LARGEST_MARGIN = 100.0


def klom(unlearned: ArrayLike, retrained: ArrayLike, released: bool = False) -> Array:
    """[items] KL(unlearned || retrained) in nats, from margins [seeds, items] of each.

    Both are counted in 20 bins of equal width over the range of both; a bin without a retrained
    model counts as 1e-5.  As released, the largest margin of all falls in no bin.  Raises
    `ValueError` for other items, a single seed, or margins that are not numbers.
    """
    first, second = np.asarray(unlearned, float), np.asarray(retrained, float)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"margins [seeds, items] of the same items: {first.shape}, {second.shape}")
    if min(len(first), len(second)) < 2:
        raise ValueError("the margins of one seed have no distribution")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("a margin is not a number")
    from scipy.stats import entropy

    pairs = zip(first.T, second.T, strict=True)
    p, q = np.stack([_shares(*pair, released) for pair in pairs]).transpose(1, 2, 0)
    divergences: Array = entropy(p, np.where(p > 0, np.maximum(q, EPSILON), q))
    return divergences


@lru_cache
def klom_of_equals(n_unlearned: int, n_retrained: int, n_items: int = 400) -> float:
    """Mean KLOM in nats of so many seeds each of one and the same normal distribution.

    What is left of KLOM where there is no difference: few seeds in 20 bins hardly meet.
    """
    drawn = np.random.default_rng(0).normal(size=(n_unlearned + n_retrained, n_items))
    return float(klom(drawn[:n_unlearned], drawn[n_unlearned:]).mean())


def _shares(unlearned: Array, retrained: Array, released: bool) -> Array:
    """[2, bins] of both."""
    first = np.clip(unlearned, -LARGEST_MARGIN, LARGEST_MARGIN)
    second = np.clip(retrained, -LARGEST_MARGIN, LARGEST_MARGIN)
    low, high = min(first.min(), second.min()), max(first.max(), second.max())
    edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
    if released:
        first, second = first[first < edges[-1]], second[second < edges[-1]]
    counts = [np.histogram(values, edges)[0] / max(len(values), 1) for values in (first, second)]
    return np.stack(counts)
