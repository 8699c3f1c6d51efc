"""Inter-annotator agreement: pure functions of the scores."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

Level = Literal["interval", "ordinal"]
_Distance = Callable[[float, float], float]


def krippendorff_alpha(units: Iterable[Sequence[float]], level: Level = "interval") -> float | None:
    """Krippendorff's alpha, 1 - observed / expected disagreement (Krippendorff 2011).

    `units` holds the scores that each item got, from however many annotators; an item
    with fewer than two says nothing about agreement and is left out.  1: perfect, 0:
    as by chance.  None where it is undefined: nobody scored what another did, or all
    scores are equal.
    """
    rated_twice = [scores for scores in units if len(scores) > 1]
    counts = Counter(score for scores in rated_twice for score in scores)
    if len(counts) < 2:
        return None
    distance = _DISTANCES[level](counts)
    observed = sum(_mean_disagreement(Counter(scores), distance) for scores in rated_twice)
    return 1 - observed / _mean_disagreement(counts, distance)


def quadratic_weighted_kappa(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Cohen's kappa of two annotators' paired scores with squared distances (Cohen 1968).

    None where it is undefined: no scores, or both gave one and the same score throughout.
    """
    if not first:
        return None
    observed = fmean((a - b) ** 2 for a, b in zip(first, second, strict=True))
    by_chance = product(Counter(first).items(), Counter(second).items())
    expected = sum(n * m * (a - b) ** 2 for (a, n), (b, m) in by_chance) / len(first) ** 2
    return 1 - observed / expected if expected else None


def _mean_disagreement(counts: Counter[float], distance: _Distance) -> float:
    """The sum over scores of the mean distance to the other scores."""
    pairs = sum(counts[a] * counts[b] * distance(a, b) for a, b in product(counts, counts))
    return pairs / (counts.total() - 1)


def _interval(counts: Counter[float]) -> _Distance:  # noqa: ARG001 - ordinal needs them
    return lambda a, b: (a - b) ** 2


def _ordinal(counts: Counter[float]) -> _Distance:
    """How many scores lie between two, their own counted half, squared."""

    def distance(a: float, b: float) -> float:
        low, high = sorted((a, b))
        between = sum(n for score, n in counts.items() if low <= score <= high)
        return (between - (counts[a] + counts[b]) / 2) ** 2

    return distance


_DISTANCES: dict[str, Callable[[Counter[float]], _Distance]] = {
    "interval": _interval,
    "ordinal": _ordinal,
}


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
