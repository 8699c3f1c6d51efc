"""Which quantiles of the bootstrap distribution are an interval's ends (BCa, widened)."""

from collections.abc import Sequence

import numpy as np

from unlearnbench.analysis.statistics.outcomes import Array


def end_levels(resampled: Array, values: Array, influences: Sequence[Array], level: float) -> Array:
    """[cells, 2] levels of the lower and the upper end; NaN where there are none.

    `resampled` [cells, B], `values` [cells], `influences` by stratum [cells, D].  Bias and
    acceleration as in Efron 1987 (eq. 2.3), the acceleration from the influences of all strata.
    A bootstrap's spread is that of a sample without Bessel's correction and its tails are
    normal: the normal quantile is widened by both, as Hesterberg 2015 does for percentiles.
    """
    from scipy.special import ndtr, ndtri

    with np.errstate(divide="ignore", invalid="ignore"):
        bias = ndtri(_share_below(resampled, values))[:, None]
        acceleration = _acceleration(influences)[:, None]
        reach = _reach(influences, level)[:, None]
        ends = bias + reach * np.array([-1.0, 1.0])
        shrinking = 1.0 - acceleration * ends
        levels: Array = ndtr(bias + ends / shrinking)
        # Past this pole the formula turns round: no interval rather than a wrong one.
        levels[(shrinking <= 0) | ~np.isfinite(bias)] = np.nan
    return levels


def quantiles(ordered: Array, levels: Array) -> Array:
    """[cells, k] quantiles of ordered rows [cells, B], interpolated, level i/(B+1) at the i-th.

    A level beyond the outermost value gives that value, NaN gives NaN.
    """
    n = ordered.shape[1]
    at = np.clip(np.nan_to_num(levels) * (n + 1) - 1, 0, n - 1)
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, n - 1)
    low, high = (np.take_along_axis(ordered, where, axis=1) for where in (below, above))
    found: Array = np.where(np.isnan(levels), np.nan, low + (at - below) * (high - low))
    return found


def _share_below(resampled: Array, values: Array) -> Array:
    """[cells] share of resamples under the value; ties, as accuracies have many, count half."""
    rounding = 1e-12 * np.abs(resampled).max(axis=1, keepdims=True)
    difference = resampled - values[:, None]
    under, equal = difference < -rounding, np.abs(difference) <= rounding
    share: Array = under.mean(axis=1) + equal.mean(axis=1) / 2
    return share


def _acceleration(influences: Sequence[Array]) -> Array:
    cubes = sum((each**3).sum(axis=1) for each in influences)
    squares = sum((each**2).sum(axis=1) for each in influences)
    found: Array = cubes / (6.0 * squares**1.5)
    return found


def _reach(influences: Sequence[Array], level: float) -> Array:
    """[cells] normal quantile of the level, times what a bootstrap falls short by."""
    from scipy.special import stdtrit

    squares = [(each**2).sum(axis=1) for each in influences]
    sizes = [each.shape[1] for each in influences]
    unbiased = sum(s * n / (n - 1) for s, n in zip(squares, sizes, strict=True))
    student = stdtrit(sum(sizes) - len(sizes), (1.0 + level) / 2.0)
    found: Array = student * np.sqrt(unbiased / sum(squares))
    return found
