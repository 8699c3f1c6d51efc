"""Recovery: what an attack brings back, between the retrained model's level and the original's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_APART = 4.0  # standard errors: so far apart no interval used here holds a difference of 0


def recovery(unlearned: float, original: float, retrained: float) -> float:
    """(unlearned - retrained) / (original - retrained), of three models under the same attack.

    1 for the original model and 0 for the retrained one, whatever the attack teaches all three;
    NaN where those two do not differ.
    """
    apart = original - retrained
    return (unlearned - retrained) / apart if apart and math.isfinite(apart) else math.nan


class Estimate(NamedTuple):
    """A value and the ends of its interval, None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None

    def scaled(self, factor: float) -> "Estimate":
        """The same in other units."""
        ends = (None if end is None else end * factor for end in (self.low, self.high))
        return Estimate(self.value * factor, *ends)


@dataclass(frozen=True, eq=False)
class Stratum:
    """A forget set: what models answered to its items [D], the unlearned ones of every seed [S, D].

    Rows of values are in the items' order.  Without items there are the models' scores alone.
    """

    name: str  # of the forget set: strata of one name are drawn alike
    items: tuple[str, ...]  # [D] doc_ids, sorted; none where a score has no documents
    unlearned: Array  # [S, D]; [S, 1] without items
    original: Array | None = None  # [D]
    retrained: Array | None = None  # [D]
    unattacked: Array | None = None  # [S, D]: the unlearned models before the attack
    seeds: tuple[int, ...] = ()  # [S]


@dataclass(frozen=True, eq=False)
class Claim:
    """One metric at one point of an attack, of one method, over its forget sets.

    Every run (forget set and seed) weighs the same, as in the comparison table.
    """

    strata: tuple[Stratum, ...]
    is_exp: bool = False  # a run's value is the exponential of the mean over its items

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """[strata] the share of the runs that are on each forget set."""
        n_runs = sum(len(stratum.unlearned) for stratum in self.strata)
        return tuple(len(stratum.unlearned) / n_runs for stratum in self.strata)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of items of each forget set."""
        return tuple(len(stratum.items) for stratum in self.strata)

    @property
    def n_items(self) -> int:
        """Items of all forget sets."""
        return sum(self.sizes)

    @property
    def n_runs(self) -> int:
        """Forget sets and seeds."""
        return sum(len(stratum.unlearned) for stratum in self.strata)

    @property
    def n_seeds(self) -> int:
        """Of the forget set that was unlearned with the most seeds."""
        return max(len(stratum.unlearned) for stratum in self.strata)

    def mean(self, which: str) -> float:
        """The mean over runs of 'unlearned', 'original', 'retrained' or 'unattacked'.

        NaN where a forget set has no such model.
        """
        if which not in self._means:
            self._means[which] = self._mean(which)
        return self._means[which]

    @cached_property
    def _means(self) -> dict[str, float]:
        return {}

    def _mean(self, which: str) -> float:
        total = 0.0
        for weight, stratum in zip(self.weights, self.strata, strict=True):
            values = getattr(stratum, which)
            if values is None:
                return math.nan
            total += weight * float(self.of_means(np.atleast_2d(values).mean(axis=1)).mean())
        return total

    def has(self, which: str) -> bool:
        """Whether every forget set has such a model."""
        return all(getattr(stratum, which) is not None for stratum in self.strata)

    @cached_property
    def value(self) -> float:
        """The recovery; NaN where it cannot be told."""
        return recovery(*(self.mean(which) for which in ("unlearned", "original", "retrained")))

    @cached_property
    def change(self) -> float:
        """The attacked model's value less that of the model before the attack."""
        return self.mean("unlearned") - self.mean("unattacked")

    @cached_property
    def is_told_apart(self) -> bool:
        """Whether the attacked original knows more than the attacked retrained model.

        By 4 standard errors of the difference over items: below that a ratio to it says nothing.
        """
        if not (self.n_items and self.has("original") and self.has("retrained")):
            return False  # without items nothing says how far apart chance alone would put them
        difference = self.mean("original") - self.mean("retrained")
        if not math.isfinite(difference) or difference <= 0:
            return False
        variance = sum(
            float(influence.var(ddof=1)) / len(influence)
            for influence in self.influences({"original": 1.0, "retrained": -1.0})
            if len(influence) > 1
        )
        scale = abs(self.mean("original")) + abs(self.mean("retrained"))
        return difference > max(LEAST_APART * math.sqrt(variance), 1e-9 * scale)

    def influences(self, parts: Mapping[str, float]) -> list[Array]:
        """By stratum [D]: what each item adds to a weighted sum of models' means, to first order.

        Centred, and times the number of items: their mean is the sum's deviation.
        """
        models = [(factor, self._influences_of(which)) for which, factor in parts.items()]
        return [
            sum((factor * of[at] for factor, of in models), np.zeros(1))
            for at in range(len(self.strata))
        ]

    def _influences_of(self, which: str) -> list[Array]:
        if which not in self._influences:
            self._influences[which] = [
                self._influence(weight, getattr(stratum, which))
                for weight, stratum in zip(self.weights, self.strata, strict=True)
            ]
        return self._influences[which]

    def _influence(self, weight: float, values: Array) -> Array:
        if not self.is_exp:
            of_items = values if values.ndim == 1 else values.mean(axis=0)
            return weight * (of_items - of_items.mean())
        rows = np.atleast_2d(values)
        means = rows.mean(axis=1, keepdims=True)
        slopes = self.of_means(means)  # of an exponential: itself
        centred: Array = weight * (slopes * (rows - means)).mean(axis=0)
        return centred

    @cached_property
    def _influences(self) -> dict[str, list[Array]]:
        return {}

    def of_means(self, means: Array) -> Array:
        """The values of runs whose items have these means."""
        if not self.is_exp:
            return means
        with np.errstate(over="ignore"):  # a destroyed model's perplexity is infinite
            return np.exp(means)
