"""Inter-annotator agreement: pure functions of the scores."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import Literal

from pydantic import Field

from unlearnbench.results.record import Record
from unlearnbench.results.score import Score

Level = Literal["interval", "ordinal"]
CONFIDENCE = 0.95


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
    places = {score: float(score) for score in counts}
    if level == "ordinal":  # the middle rank of each score
        places = {s: sum(n for t, n in counts.items() if t < s) + counts[s] / 2 for s in counts}
    observed = sum(_mean_disagreement(Counter(scores), places) for scores in rated_twice)
    return 1 - observed / _mean_disagreement(counts, places)


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


def _mean_disagreement(counts: Counter[float], places: Mapping[float, float]) -> float:
    """The sum over scores of the mean squared distance to the other scores."""
    pairs = product(counts.items(), counts.items())
    total = sum(n * m * (places[a] - places[b]) ** 2 for (a, n), (b, m) in pairs)
    return total / (counts.total() - 1)


class Correlation(Record):
    """Pearson's r with its 95% interval."""

    r: float | None = Field(description="null: fewer than three pairs, or one side is constant")
    low: float | None = Field(description="95% interval; null: fewer than four pairs")
    high: float | None
    n: int = Field(description="pairs")


def pearson(first: Sequence[float], second: Sequence[float]) -> Correlation:
    """Pearson's r of paired values, its interval by Fisher's transformation."""
    from scipy.stats import pearsonr

    n = len(first)
    if n < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return Correlation(r=None, low=None, high=None, n=n)
    result = pearsonr(first, second)
    low, high = map(float, result.confidence_interval(CONFIDENCE)) if n > 3 else (None, None)
    return Correlation(r=float(result.statistic), low=low, high=high, n=n)


def mean_interval(score: Score, lowest: float, highest: float) -> tuple[float, float] | None:
    """The 95% interval of a mean by Student's t, cut to the range a mean can have.

    None for fewer than two documents.
    """
    from scipy.stats import t

    if score.stderr is None:
        return None
    margin = float(t.ppf((1 + CONFIDENCE) / 2, score.n - 1)) * score.stderr
    return max(lowest, score.value - margin), min(highest, score.value + margin)
