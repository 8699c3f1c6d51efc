"""Forget quality: do two models' truth ratios on the same items come from one distribution?

TOFU prints the p-value of the two-sample Kolmogorov-Smirnov test between the unlearned and the
retrained model.  Its possible values are a ladder that depends on the number of items, so p says
as much about the sample as about the model; D, the largest distance between the two empirical
distribution functions, does not.
"""

import warnings
from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
N_RESAMPLES = 2000
SEED = 20250104
LEVEL = 0.95
SIGNIFICANT = 0.05


class ForgetQuality(NamedTuple):
    """The test's outcome and what it could have been for this number of items."""

    p: float
    distance: float  # D, 0..1
    low: float  # 95% interval of D
    high: float
    floor: float  # the smallest p that the test can give
    detectable: float  # the smallest D with p < 0.05; NaN: none for so few items


def forget_quality(model: Sequence[float], reference: Sequence[float]) -> ForgetQuality:
    """The exact test between two models' truth ratios [n] of the same items, in the same order.

    Raises `ValueError` for no items, other numbers of them, or a value that is NaN.
    """
    first, second = np.asarray(model, float), np.asarray(reference, float)
    if first.shape != second.shape or not first.size:
        raise ValueError(f"{first.size} and {second.size} items; the test is over the same ones")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("a truth ratio is not a number")
    test = ks_test(first, second)
    low, high = distance_interval(first, second)
    n = first.size
    return ForgetQuality(test.p, test.distance, low, high, ks_floor(n), smallest_detectable(n))


class KSTest(NamedTuple):
    """D and its two-sided p-value."""

    distance: float
    p: float


def ks_test(first: Sequence[float] | Array, second: Sequence[float] | Array) -> KSTest:
    """scipy's two-sample test: exact p up to 10,000 items, as TOFU and OpenUnlearning use it.

    Where the exact sum fails, as for some unequal numbers of items, p is scipy's asymptotic one.
    """
    from scipy.stats import ks_2samp

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful")
        test = ks_2samp(first, second)
    return KSTest(float(test.statistic), float(test.pvalue))


def ks_p_value(n: int, k: int) -> float:
    """The exact p of D = k/n for two samples of n: 2 sum_j (-1)^(j-1) C(2n, n-jk) / C(2n, n)."""
    if not 0 <= k <= n or not n:
        raise ValueError(f"D = {k}/{n} is no distance of two samples of {n}")
    if not k:
        return 1.0
    terms = ((-1) ** (j - 1) * comb(2 * n, n - j * k) for j in range(1, n // k + 1))
    return 2 * sum(terms) / comb(2 * n, n)  # of integers, rounded once


def ks_floor(n: int) -> float:
    """The smallest p that two samples of n can give, that of D = 1: 2 / C(2n, n)."""
    return ks_p_value(n, n)


def ks_step(n: int, p: float, relative: float = 0.005) -> int | None:
    """The k with which p is that of D = k/n; None if p is not on the ladder of n.

    `relative` is what the printed digits leave open: 0.005 for three of them.
    """
    low, high = 0, n  # p falls with k
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if ks_p_value(n, middle) <= p else (middle + 1, high)
    near = min((k for k in (low - 1, low) if k >= 0), key=lambda k: abs(ks_p_value(n, k) - p))
    return near if abs(ks_p_value(n, near) - p) <= relative * p else None


def smallest_detectable(n: int, level: float = SIGNIFICANT) -> float:
    """The smallest D with p < level for two samples of n; NaN if not even D = 1 reaches it."""
    if ks_floor(n) >= level:
        return float("nan")
    low, high = 1, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if ks_p_value(n, middle) < level else (middle + 1, high)
    return low / n


def distance_interval(
    first: Array, second: Array, level: float = LEVEL, n_resamples: int = N_RESAMPLES
) -> tuple[float, float]:
    """A bootstrap interval of D over items [n], each drawn with both of its values.

    D -/+ the `level` quantile of the largest change of F - G between sample and resample: the
    distance cannot differ by more.  Percentiles of the resampled D would do for no D near 0,
    whose resamples all lie above it.
    """
    n = first.size
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    last = np.append(values[order][1:] > values[order][:-1], True)  # of values that are equal
    items = np.tile(np.arange(n), 2)[order]
    steps = np.repeat([1, -1], n)[order]  # in n-ths, so that equal is equal
    observed = np.cumsum(steps)[last]
    counts = np.random.default_rng([SEED, n]).multinomial(n, np.full(n, 1 / n), n_resamples)
    largest = np.empty(n_resamples)
    portion = max(1, (1 << 21) // (2 * n))
    for start in range(0, n_resamples, portion):
        drawn = np.cumsum(counts[start : start + portion, items] * steps, axis=1)[:, last]
        largest[start : start + portion] = np.abs(drawn - observed).max(axis=1)
    distance, reach = float(np.abs(observed).max()) / n, float(np.quantile(largest, level)) / n
    return max(0.0, distance - reach), min(1.0, distance + reach)
