"""Upper confidence bounds of a mean over rows: how well text may be known by chance."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95


def normal_upper_bound(values: Sequence[float], confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound of the mean: mean + z s / sqrt(n).  One value: that value."""
    if len(values) < 2:
        return fmean(values)
    z = NormalDist().inv_cdf(confidence)
    return fmean(values) + z * stdev(values) / sqrt(len(values))


def wilson_upper_bound(values: Sequence[float], confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound of the mean of shares in 0..1 by Wilson's score interval (1927).

    For events so rare that a sample may hold none: its spread would be 0 and the
    normal bound with it, while Wilson's says what n rows without one still allow.
    """
    n, share = len(values), fmean(values)
    z2 = NormalDist().inv_cdf(confidence) ** 2
    centre = share + z2 / (2 * n)
    margin = sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    return (centre + margin) / (1 + z2 / n)
