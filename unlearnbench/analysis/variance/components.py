"""Components of variance of a row's mean: trainings, seeds of unlearning, items, by mean squares.

The model of an item's value, forget sets being fixed and everything else drawn at random:

    y[t, s, f, i] = mean[f] + training[t, f] + seed[t, s, f] + item[f, i]
                    + (training x item)[t, f, i] + rest[t, s, f, i]

A seed is nested in a training: a retrained model has to be unlearned again.  Items are crossed
with both.  The seeds of different forget sets are different runs, so they are taken as
independent; the trainings of all forget sets are the same models, so they are not.

A row's mean is a weighted sum of means over items, so every component is stated as what it adds
to the variance of that mean when there is *one* training with *one* seed, on the items that there
are.  For balanced data the estimates solve the expected mean squares (Searle, Casella and
McCulloch 1992, ch. 4); a negative one is reported as 0.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.statistics.bootstrap import MIN_DOCUMENTS

Array = NDArray[np.float64]
LEVEL = 0.95

TRAINING, SEED, ITEM = "training", "seed", "item"
TRAINING_ITEM, REST = "training x item", "rest"
# What an interval is over.
ITEMS, SEEDS, TRAININGS, ALL = "items", "seeds", "trainings", "all"


@dataclass(frozen=True, eq=False)
class Stratum:
    """Items that a set of runs share: the rows of one forget set, or a question set of all."""

    values: Array  # [T, S, F, I] trainings, seeds, the forget sets whose runs share them, items
    weights: Array  # [F] of each forget set's mean over these items in the row's mean
    places: tuple[int, ...]  # [F] of these forget sets among the sample's


@dataclass(frozen=True, eq=False)
class Sample:
    """A row's runs, balanced: `runs.sum(axis=2).mean()` is the row's mean."""

    runs: Array  # [T, S, F] what each forget set's run adds to the mean, weight included
    strata: tuple[Stratum, ...] = ()  # none: of a score without items, whose items are held fixed

    @classmethod
    def of(cls, strata: Sequence[Stratum]) -> "Sample":
        """The sample of these items; raises `ValueError` without any."""
        if not strata:
            raise ValueError("a sample of items needs at least one stratum")
        n_forget_sets = 1 + max(place for stratum in strata for place in stratum.places)
        runs = np.zeros((*strata[0].values.shape[:2], n_forget_sets))
        for stratum in strata:
            runs[:, :, stratum.places] += stratum.weights * stratum.values.mean(axis=3)
        return cls(runs, tuple(strata))

    @property
    def n_trainings(self) -> int:
        """T."""
        return int(self.runs.shape[0])

    @property
    def n_seeds(self) -> int:
        """S, of each training."""
        return int(self.runs.shape[1])

    @property
    def n_forget_sets(self) -> int:
        """F."""
        return int(self.runs.shape[2])

    @property
    def n_items(self) -> int:
        """All strata's items; 0 where they are not known."""
        return sum(stratum.values.shape[3] for stratum in self.strata)

    @cached_property
    def mean(self) -> float:
        """The row's mean over trainings, seeds, forget sets and items."""
        return float(self.runs.sum(axis=2).mean())

    @property
    def of_trainings(self) -> Array:
        """[T] each training's mean."""
        means: Array = self.runs.sum(axis=2).mean(axis=1)
        return means

    def minus(self, other: "Sample") -> "Sample":
        """First minus second, item by item; both over the same trainings, forget sets and items.

        A row without seeds stands beside every seed.  Raises `ValueError` for other shapes.
        """
        if len(self.strata) != len(other.strata):
            raise ValueError(f"{len(self.strata)} and {len(other.strata)} strata of items")
        strata = [
            Stratum(a.values - b.values, a.weights, a.places)
            for a, b in zip(self.strata, other.strata, strict=True)
        ]
        return Sample(self.runs - other.runs, tuple(strata))


class Variance(NamedTuple):
    """An estimated variance of a mean, and its degrees of freedom."""

    value: float
    df: float

    def reach(self, level: float = LEVEL) -> float:
        """Half the width of Student's interval."""
        from scipy.special import stdtrit

        return math.sqrt(self.value) * float(stdtrit(self.df, (1.0 + level) / 2.0))


NONE = Variance(0.0, math.inf)


def combined(parts: Iterable[tuple[float, Variance]]) -> Variance:
    """The sum of variances, each times its factor, with Satterthwaite's degrees of freedom.

    A factor may be negative; the sum is never under 0.
    """
    scaled = [(factor * part.value, part.df) for factor, part in parts]
    total = math.fsum(value for value, _ in scaled)
    squares = math.fsum(value**2 / df for value, df in scaled)
    if total <= 0.0 or squares == 0.0:
        return Variance(max(total, 0.0), math.inf)
    return Variance(total, total**2 / squares)


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares, each as the variance of a mean of one training with one seed.

    With the components A (training), B (seed), C (item), D (training x item), E (rest), all of a
    mean of one training and seed on these items, their expectations are as beside them.
    """

    n_trainings: int
    n_seeds: int
    trainings: Variance | None  # A + B/S + D + E/S; None for one training
    seeds: Variance | None  # B + E; None for one seed
    items: Variance | None  # C + D/T + E/(TS); None where items are not known, or one alone
    trainings_items: Variance | None  # D + E/S
    rest: Variance | None  # E
    n_items: int  # of all strata

    @property
    def over_items(self) -> Variance | None:
        """Of the mean on other items: the trainings and their seeds held fixed."""
        return self.items

    @property
    def over_seeds(self) -> Variance | None:
        """Of the mean with other seeds of unlearning: trainings and items held fixed."""
        if self.seeds is None:
            return None
        return combined([(1.0 / (self.n_trainings * self.n_seeds), self.seeds)])

    @property
    def over_trainings(self) -> Variance | None:
        """Of the mean with other trainings, each unlearned anew: items held fixed."""
        if self.trainings is None:
            return None
        return combined([(1.0 / self.n_trainings, self.trainings)])

    def reach(self, over: str, level: float = LEVEL) -> float | None:
        """Half the width of the interval over 'items', 'seeds', 'trainings' or 'all'.

        Student's; over all the two are added in squares, each with its own quantile: with
        Satterthwaite's degrees of freedom for the sum the interval covers too little where few
        models vary much (docs/statistics.md).  It is never narrower than over either alone.
        Over items none for fewer of them than an interval in the table needs.
        """
        if over in (ITEMS, ALL) and self.n_items < MIN_DOCUMENTS:
            return None
        if over == ALL:
            if self.items is None or self._models is None:
                return None
            joint = math.hypot(self._models.reach(level), self._items_alone.reach(level))
            return max(joint, self.items.reach(level))
        of = {ITEMS: self.over_items, SEEDS: self.over_seeds, TRAININGS: self.over_trainings}
        variance = of[over]
        return None if variance is None else variance.reach(level)

    @property
    def _models(self) -> Variance | None:
        """Of trainings with their seeds, or of the seeds of the only training."""
        return self.over_trainings if self.trainings is not None else self.over_seeds

    @property
    def _items_alone(self) -> Variance:
        """Of the mean on other items, without what varies from model to model on an item."""
        is_of_trainings = self.trainings is not None
        n = self.n_trainings if is_of_trainings else self.n_seeds
        both = self.trainings_items if is_of_trainings else self.rest
        items = self.items or NONE
        return combined([(1.0, items), (-1.0 / n, both or NONE)])._replace(df=items.df)

    @property
    def components(self) -> dict[str, float]:
        """By name the variance that each adds to the mean of one training with one seed.

        What cannot be told apart is in one of them: with one seed 'training' has the seed's in
        it and 'training x item' the rest, with one training 'item' has 'training x item'.
        """
        n_t, n_s = self.n_trainings, self.n_seeds
        mean = {name: 0.0 if v is None else v.value for name, v in self._squares.items()}
        made: dict[str, float] = {}
        if self.trainings is not None:
            of_seeds = (mean[SEED] - mean[REST]) / n_s
            made[TRAINING] = mean[TRAINING] - mean[TRAINING_ITEM] - of_seeds
        if self.seeds is not None:
            made[SEED] = mean[SEED] - mean[REST]
        if self.items is not None:
            of_both = TRAINING_ITEM if self.trainings is not None else REST
            n = n_t if self.trainings is not None else n_s
            made[ITEM] = mean[ITEM] - mean[of_both] / n
            if self.trainings is not None:
                made[TRAINING_ITEM] = mean[TRAINING_ITEM] - mean[REST] / n_s
            if self.seeds is not None:
                made[REST] = mean[REST]
        return {name: max(0.0, value) for name, value in made.items()}

    @property
    def _squares(self) -> dict[str, Variance | None]:
        return {
            TRAINING: self.trainings, SEED: self.seeds, ITEM: self.items,
            TRAINING_ITEM: self.trainings_items, REST: self.rest,
        }  # fmt: skip


def mean_squares(sample: Sample) -> MeanSquares:
    """The mean squares of a balanced sample."""
    n_t, n_s = sample.n_trainings, sample.n_seeds
    has_items = bool(sample.strata) and all(s.values.shape[3] > 1 for s in sample.strata)
    return MeanSquares(
        n_t,
        n_s,
        trainings=Variance(float(sample.of_trainings.var(ddof=1)), n_t - 1) if n_t > 1 else None,
        seeds=_seeds(sample.runs) if n_s > 1 else None,
        items=combined((1.0, _items(s)) for s in sample.strata) if has_items else None,
        trainings_items=(
            combined((1.0, _trainings_items(s)) for s in sample.strata)
            if has_items and n_t > 1
            else None
        ),
        rest=(
            combined((1.0, part) for s in sample.strata for part in _rest(s))
            if has_items and n_s > 1
            else None
        ),
        n_items=sample.n_items,
    )


def seeds_alike(sample: Sample) -> float | None:
    """The p-value of whether a seed acts alike in all trainings; the seeds must be the same ones.

    F test of seeds against seeds x trainings, forget set by forget set.  If they do, a seed is one
    draw and not one for each training, which everything here takes it for.  None for one training
    or one seed, and where nothing varies.
    """
    from scipy.special import fdtrc

    n_t, n_s, n_f = sample.runs.shape
    if n_t < 2 or n_s < 2:
        return None
    df = n_f * (n_s - 1)
    common = n_t * float(sample.runs.mean(axis=0).var(axis=0, ddof=1).sum()) / n_f
    own = float((_crossed(np.moveaxis(sample.runs, 2, 0)) ** 2).sum()) / (df * (n_t - 1))
    return float(fdtrc(df, df * (n_t - 1), common / own)) if own > 0.0 else None


def _seeds(runs: Array) -> Variance:
    """Within trainings, forget set by forget set."""
    n_t, n_s, _ = runs.shape
    of_forget_sets = runs.var(axis=1, ddof=1).mean(axis=0)
    return combined((1.0, Variance(float(v), n_t * (n_s - 1))) for v in of_forget_sets)


def _items(stratum: Stratum) -> Variance:
    n_items = stratum.values.shape[3]
    of_items = (stratum.weights[:, None] * stratum.values).sum(axis=2).mean(axis=(0, 1))
    return Variance(float(of_items.var(ddof=1)) / n_items, n_items - 1)


def _trainings_items(stratum: Stratum) -> Variance:
    n_t, _, _, n_items = stratum.values.shape
    weighted = (stratum.weights[:, None] * stratum.values).sum(axis=2).mean(axis=1)  # [T, I]
    df = (n_t - 1) * (n_items - 1)
    return Variance(float((_crossed(weighted) ** 2).sum()) / df / n_items, df)


def _rest(stratum: Stratum) -> list[Variance]:
    """Seeds x items within trainings, forget set by forget set."""
    n_t, n_s, n_f, n_items = stratum.values.shape
    df = n_t * (n_s - 1) * (n_items - 1)
    parts = []
    for f in range(n_f):
        left = _crossed(stratum.values[:, :, f]) * stratum.weights[f]
        parts.append(Variance(float((left**2).sum()) / df / n_items, df))
    return parts


def _crossed(values: Array) -> Array:
    """What is left of [..., R, C] without row and column means."""
    rows = values.mean(axis=-1, keepdims=True)
    columns = values.mean(axis=-2, keepdims=True)
    left: Array = values - rows - columns + values.mean(axis=(-1, -2), keepdims=True)
    return left
