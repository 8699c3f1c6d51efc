"""The expected best of k configurations of a method, its interval, and where two curves cross.

n configurations were tried and each has one score.  Had only k of them been tried, drawn at random
without replacement, the best of those would have been some score: its mean is the expected best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHARE = (0.0, 1.0)  # the bounds of a score that is a share
MIN_TRIALS = 5  # fewer have no interval
_N_DRAWS, _MOST_NUMBERS = 2000, 4_000_000
_SEED = 20_260_101


def expected_best(scores: Sequence[float], k: int, higher_is_better: bool = True) -> float:
    """Sum_i C(i-1, k-1) / C(n, k) s_(i), the scores ascending (descending where less is better).

    Without bias for k configurations drawn independently (Tang et al. 2020, on Dodge et al. 2019).
    Raises `ValueError` unless 1 <= k <= n.
    """
    ordered = np.sort(np.asarray(scores, dtype=float))
    return float(weights(len(ordered), k) @ (ordered if higher_is_better else ordered[::-1]))


@lru_cache(maxsize=256)
def weights(n: int, k: int) -> Floats:
    """[n] the probability that the i-th worst of n is the best of k of them.

    By w_n = k/n and w_(i-1) = w_i (i-k)/(i-1): no binomial coefficient, which overflow, is formed.
    """
    if not 1 <= k <= n:
        raise ValueError(f"the best of {k} of {n}")
    i = np.arange(n, 1, -1, dtype=float)
    descending = np.cumprod(np.concatenate(([k / n], np.maximum(i - k, 0.0) / (i - 1))))
    made = np.asarray(descending[::-1], dtype=float).copy()
    made.setflags(write=False)
    return made


def curve(scores: Sequence[float], higher_is_better: bool = True) -> list[float]:
    """The expected best of 1, 2, ..., n."""
    return [expected_best(scores, k, higher_is_better) for k in range(1, len(scores) + 1)]


def interval(
    scores: Sequence[float],
    k: int,
    higher_is_better: bool = True,
    bounds: tuple[float, float] = SHARE,
) -> tuple[float, float] | None:
    """95% interval of the expected best of k over the method's configurations.

    n of them were drawn; the true one is that of all that could be drawn, whose scores lie within
    the bounds.  It is  high - integral of F^k  with F the distribution function of a score.  At
    the n ordered scores F has the values of n ordered uniform numbers, and between two of them F
    lies between these: so each draw of uniform numbers gives a least and a largest expected best,
    and the interval goes from the 2.5% quantile of the least ones to the 97.5% quantile of the
    largest.  None for fewer than five trials and for scores out of the bounds.
    """
    low, high = bounds
    values = np.sort(np.asarray(scores, dtype=float))
    if len(values) < MIN_TRIALS or values[0] < low or values[-1] > high:
        return None
    if not higher_is_better:
        ends = interval([-value for value in values], k, bounds=(-high, -low))
        return None if ends is None else (-ends[1], -ends[0])
    gaps = np.diff(np.concatenate(([low], values, [high])))
    at_scores = _uniform_order(len(values))
    before = np.pad(at_scores, ((0, 0), (1, 0)))
    after = np.pad(at_scores, ((0, 0), (0, 1)), constant_values=1.0)
    least = np.percentile(high - after**k @ gaps, 2.5)
    most = np.percentile(high - before**k @ gaps, 97.5)
    return float(least), float(most)


@lru_cache(maxsize=8)
def _uniform_order(n: int) -> Floats:
    """[draws, n] ordered uniform numbers, the same ones for every method with n trials."""
    draws = min(_N_DRAWS, max(200, _MOST_NUMBERS // n))
    return np.sort(np.random.default_rng(_SEED).random((draws, n)), axis=1)


@dataclass(frozen=True)
class Lead:
    """From k configurations on the first (or the second) curve is ahead, until the next lead."""

    k: int
    is_first: bool


def leads(
    first: Sequence[float], second: Sequence[float], higher_is_better: bool = True
) -> list[Lead]:
    """Who is ahead from which k on, over the k that both curves have; ties keep the lead as it is.

    More than one lead is a crossing: the curves change places.
    """
    made: list[Lead] = []
    for k, (a, b) in enumerate(zip(first, second, strict=False), start=1):
        if a == b:
            continue
        is_first = (a > b) == higher_is_better
        if not made or made[-1].is_first != is_first:
            made.append(Lead(k, is_first))
    return made
