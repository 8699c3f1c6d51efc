"""Pearson's correlation and intervals of means, by scipy."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Correlation:
    """Pearson's r with its 95% interval."""

    r: float
    low: float | None  # None with fewer than four pairs: no interval can be given
    high: float | None
    n: int  # pairs


def pearson(first: Sequence[float], second: Sequence[float]) -> Correlation | None:
    """Pearson's r of paired values, its interval by Fisher's transformation.

    None where it is undefined: fewer than three pairs, or one side is constant.
    """
    from scipy.stats import pearsonr

    if len(first) < 3 or not _vary(first) or not _vary(second):
        return None
    found = pearsonr(first, second)
    if len(first) < 4:
        return Correlation(float(found.statistic), None, None, len(first))
    interval = found.confidence_interval(CONFIDENCE)
    return Correlation(
        float(found.statistic), float(interval.low), float(interval.high), len(first)
    )


def _vary(values: Sequence[float]) -> bool:
    return min(values) < max(values)


def mean_interval(
    values: Sequence[float], lowest: float, highest: float
) -> tuple[float, float] | None:
    """The 95% interval of a mean by Student's t, cut to the range a mean can have.

    None for fewer than two values.
    """
    from scipy.stats import t

    if len(values) < 2:
        return None
    margin = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) / sqrt(len(values))
    mean = fmean(values)
    return max(lowest, mean - margin), min(highest, mean + margin)
