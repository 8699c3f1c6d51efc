"""Faithfulness: can a metric tell models that know the forget set from models that cannot?

The AUC over models (Open-Unlearning, FIELD's P and N pools): the probability that a model with the
knowledge shows more of it by the metric than a model without, ties half.  1 is a metric that never
errs, 0.5 one that tells nothing, under 0.5 one that points the wrong way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.derived import membership
from unlearnbench.analysis.derived.membership import Interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """What a metric says of the models of one pool: more is more knowledge."""

    knowledge: Array  # [models]
    kinds: tuple[str, ...]  # [models] what each has read

    def of_kind(self, kind: str) -> "Side":
        """The models of one kind."""
        at = [place for place, own in enumerate(self.kinds) if own == kind]
        return Side(self.knowledge[at], (kind,) * len(at))

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True)
class Faithfulness:
    """The AUC with its 95% interval, and the value that parts the pools best."""

    area: float
    low: float | None  # None where a side has a single model: it says nothing of others
    high: float | None
    threshold: float  # of the knowledge: above it a model is taken for one that knows
    accuracy: float  # balanced: the mean of both sides' share that the threshold gets right


def faithfulness(known: Side, unknown: Side) -> Faithfulness:
    """Of the two pools' values; raises `ValueError` for an empty side or a value that is NaN."""
    area = membership.auc(-known.knowledge, -unknown.knowledge)
    low, high = interval(known, unknown) or (None, None)
    return Faithfulness(area, low, high, *best_threshold(known.knowledge, unknown.knowledge))


def interval(known: Side, unknown: Side) -> Interval | None:
    """The 95% interval of the AUC over models and kinds; None for a single model on a side.

    Models of one kind are alike: they have read the same, and differ in seed and rate alone.
    Newcombe's interval therefore takes each side for as many independent models as its design
    effect leaves, n / (1 + (m - 1) ICC), the intraclass correlation that of the ranks; and it is
    widened to the variance of an AUC of clustered observations (Obuchowski 1997) where that is
    larger.  A side of one kind counts as independent models: other kinds it cannot speak for.
    """
    if min(len(known), len(unknown)) < 2:
        return None
    placements = membership.placements(-known.knowledge, -unknown.knowledge)
    area = float(placements[0].mean())
    sides = known, unknown
    variance = sum(
        max(clustered_variance(own, side.kinds), float(np.var(own, ddof=1)) / len(own))
        for own, side in zip(placements, sides, strict=True)
    )
    n_known, n_unknown = (effective_number(*ranked) for ranked in _ranked(known, unknown))
    return membership.auc_interval(area, n_known, n_unknown, variance)


def clustered_variance(values: Array, kinds: Sequence[str]) -> float:
    """The variance of the mean of values [n] that come in kinds (Obuchowski 1997); 0 for one."""
    of_kinds = _by_kind(values, kinds)
    n_kinds, deviations = len(of_kinds), [(own - values.mean()).sum() for own in of_kinds]
    if n_kinds < 2:
        return 0.0
    return float(n_kinds / (n_kinds - 1) * np.square(deviations).sum() / len(values) ** 2)


def effective_number(values: Array, kinds: Sequence[str]) -> float:
    """How many independent values [n] tell as much as these, which come in kinds."""
    n, of_kinds = len(values), _by_kind(values, kinds)
    size = sum(len(own) ** 2 for own in of_kinds) / n  # of a kind, as a value meets it
    return n / (1 + (size - 1) * intraclass_correlation(values, kinds))


def intraclass_correlation(values: Array, kinds: Sequence[str]) -> float:
    """The share of the variance of values [n] that lies between kinds, 0 to 1, by ANOVA.

    0 for one kind, and for kinds of one value each: nothing is within them.
    """
    n, of_kinds = len(values), _by_kind(values, kinds)
    if not 1 < len(of_kinds) < n:
        return 0.0
    between = sum(len(own) * (own.mean() - values.mean()) ** 2 for own in of_kinds)
    between /= len(of_kinds) - 1
    within = sum(np.square(own - own.mean()).sum() for own in of_kinds) / (n - len(of_kinds))
    size = (n - sum(len(own) ** 2 for own in of_kinds) / n) / (len(of_kinds) - 1)
    whole = between + (size - 1) * within
    return float(np.clip((between - within) / whole, 0.0, 1.0)) if whole > 0 else 0.0


def best_threshold(known: Array, unknown: Array) -> tuple[float, float]:
    """The knowledge above which a model is best taken for one that knows, and the balanced accuracy
    of doing so (Youden's J); of several the middle one."""
    values = np.unique(np.concatenate([known, unknown]))
    between = (values[1:] + values[:-1]) / 2
    cuts = np.concatenate([[np.nextafter(values[0], -np.inf)], between, values[-1:]])
    right = (known[:, None] > cuts).mean(axis=0) + (unknown[:, None] <= cuts).mean(axis=0)
    best = np.flatnonzero(right >= right.max() - 1e-12)
    at = best[len(best) // 2]
    return float(cuts[at]), float(right[at]) / 2


def _by_kind(values: Array, kinds: Sequence[str]) -> list[Array]:
    of = np.array(kinds)
    return [values[of == kind] for kind in dict.fromkeys(kinds)]


def _ranked(known: Side, unknown: Side) -> tuple[tuple[Array, tuple[str, ...]], ...]:
    """Each side's ranks among the models of both, as an AUC knows no other scale, and kinds."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([known.knowledge, unknown.knowledge]))
    return (ranks[: len(known)], known.kinds), (ranks[len(known) :], unknown.kinds)
