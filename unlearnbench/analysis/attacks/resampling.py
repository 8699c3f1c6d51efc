"""Intervals of what attacks bring back, over items and, where there are several, over seeds."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from unlearnbench.analysis.attacks.recovery import Array, Claim, Estimate, Stratum
from unlearnbench.analysis.statistics.bootstrap import (
    LEVEL,
    MIN_DOCUMENTS,
    N_RESAMPLES,
    end_levels,
    quantiles,
)

N_JOINT = 5000  # resamples of intervals that hold together: they lie further out
SEED = 20250107
Quantity = Literal["value", "unattacked", "change", "recovery"]
#: Of which models' means a quantity is made; a recovery's numerator, whose denominator is next.
PARTS: dict[Quantity, dict[str, float]] = {
    "value": {"unlearned": 1.0},
    "unattacked": {"unattacked": 1.0},
    "change": {"unlearned": 1.0, "unattacked": -1.0},
    "recovery": {"unlearned": 1.0, "retrained": -1.0},
}
APART = {"original": 1.0, "retrained": -1.0}


class Draws:
    """Items drawn with replacement, the same for all claims that are given together."""

    def __init__(self, claims: Sequence[Claim], n_resamples: int = N_RESAMPLES) -> None:
        items: dict[str, set[str]] = defaultdict(set)
        for claim in claims:
            for stratum in claim.strata:
                items[stratum.name].update(stratum.items)
        self.n_resamples = n_resamples
        self._places = {
            name: {item: at for at, item in enumerate(sorted(of))} for name, of in items.items()
        }
        self._weights: dict[tuple[str, tuple[str, ...]], Array] = {}
        self._order = {name: at for at, name in enumerate(sorted(items))}

    def weights(self, stratum: Stratum) -> Array:
        """[draws, D] the weights of a stratum's items; NaN where none of them was drawn."""
        place = (stratum.name, stratum.items)
        if place not in self._weights:
            self._weights[place] = self._drawn(stratum)
        return self._weights[place]

    def _drawn(self, stratum: Stratum) -> Array:
        places = self._places[stratum.name]
        counts = _counts(len(places), self.n_resamples, self._order[stratum.name])
        if len(stratum.items) < len(places):
            counts = counts[:, [places[item] for item in stratum.items]]
        with np.errstate(invalid="ignore"):
            weights: Array = counts / counts.sum(axis=1, keepdims=True)
        return weights

    def means(self, claim: Claim, parts: Mapping[str, float]) -> Array:
        """[draws] a weighted sum of models' means, over the drawn items."""
        total = np.zeros(self.n_resamples)
        for share, stratum in zip(claim.weights, claim.strata, strict=True):
            weights = self.weights(stratum)
            models = [(factor, np.atleast_2d(getattr(stratum, n))) for n, factor in parts.items()]
            if not claim.is_exp:  # of plain means the sum over models can be taken first
                total += share * (weights @ sum(f * rows.mean(axis=0) for f, rows in models))
                continue
            for factor, rows in models:
                total += factor * share * claim.of_means(weights @ rows.T).mean(axis=1)
        return total

    def of(self, claim: Claim, quantity: Quantity) -> Array:
        """[draws] the quantity over the drawn items."""
        drawn = self.means(claim, PARTS[quantity])
        if quantity != "recovery":
            return drawn
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Array = drawn / self.means(claim, APART)
        return ratio


@lru_cache(maxsize=16)
def _counts(n_items: int, n_resamples: int, stratum: int) -> Array:
    """[draws, items] how often each was drawn."""
    rng = np.random.default_rng([SEED, stratum, n_items])
    drawn = rng.integers(n_items, size=(n_resamples, n_items))
    drawn += np.arange(n_resamples)[:, None] * n_items
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_items)
    return counts.reshape(n_resamples, n_items).astype(float)


def value_of(claim: Claim, quantity: Quantity) -> float:
    """The quantity itself."""
    return {
        "value": lambda: claim.mean("unlearned"),
        "unattacked": lambda: claim.mean("unattacked"),
        "change": lambda: claim.change,
        "recovery": lambda: claim.value,
    }[quantity]()


def influences_of(claim: Claim, quantity: Quantity) -> list[Array]:
    """By stratum [D]: what one more of an item adds to the quantity, to first order."""
    made = claim.influences(PARTS[quantity])
    if quantity == "recovery":
        apart = claim.mean("original") - claim.mean("retrained")
        below = claim.influences(APART)
        made = [(up - claim.value * down) / apart for up, down in zip(made, below, strict=True)]
    return [influence / len(influence) for influence in made]


def intervals(claims: Sequence[Claim], quantity: Quantity) -> list[Estimate]:
    """The quantity of each claim with its 95% interval, over items and seeds.

    Over items by BCa bootstrap, all models' values of an item drawn together; the error over seeds
    is added in squares, with Student's quantile.  No interval for fewer than 10 items, a forget set
    of one item, values that are not finite, and where all items say the same.
    """
    values = np.array([value_of(claim, quantity) for claim in claims])
    can = [at for at, claim in enumerate(claims) if _has_interval(claim, values[at], quantity)]
    estimates = [Estimate(float(value)) for value in values]
    if not can:
        return estimates
    draws = Draws([claims[at] for at in can])
    for at, (low, high) in zip(
        can, _ends([claims[at] for at in can], quantity, draws, LEVEL), strict=True
    ):
        if math.isfinite(low) and math.isfinite(high):
            reach = _student(claims[at], quantity)
            estimates[at] = _joined(float(values[at]), low, high, reach)
    return estimates


def worst_case(claims: Sequence[Claim]) -> Estimate:
    """The largest recovery of several claims on one method, with an interval of that maximum.

    The level of all intervals is raised until, in the joint bootstrap, they hold the values of all
    claims together in 95% of the resamples; then the largest truth lies between the largest lower
    and the largest upper end.  A claim whose items all say the same has its value for both ends.
    No interval where one of them has none for another reason.
    """
    values = np.array([claim.value for claim in claims])
    largest = Estimate(float(values.max()))
    if any(claim.n_items < MIN_DOCUMENTS or min(claim.sizes) < 2 for claim in claims):
        return largest
    vary = [at for at, claim in enumerate(claims) if _has_interval(claim, values[at], "recovery")]
    if not vary:
        return largest
    varying = [claims[at] for at in vary]
    draws = Draws(varying, N_JOINT)
    resampled = np.stack([draws.of(claim, "recovery") for claim in varying])
    level = joint_level(resampled)
    low, high = values.copy(), values.copy()
    ends = _ends(varying, "recovery", draws, level, resampled)
    factor = _joint_student(varying)
    for at, claim, (below, above) in zip(vary, varying, ends, strict=True):
        reach = factor * _seeds_error(claim, "recovery")[0]
        joined = _joined(float(values[at]), below, above, reach)
        low[at], high[at] = joined.low, joined.high
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return largest
    return Estimate(largest.value, float(low.max()), float(high.max()))


def joint_level(resampled: Array, level: float = LEVEL) -> float:
    """The level of single intervals, so that all [claims, draws] hold together at `level`.

    By the ranks of the draws within each claim (Mandel and Betensky 2008): which share of the draws
    lies in all of the claims' intervals is the same whatever scale a claim is on.
    """
    from scipy.special import ndtr, ndtri

    known = resampled[:, np.isfinite(resampled).all(axis=0)]  # a draw may miss an attack's items
    places = np.stack([_ranks(row) for row in known]) / known.shape[1]
    furthest = np.abs(ndtri(places)).max(axis=0)
    return float(2.0 * ndtr(np.quantile(furthest, level)) - 1.0)


def _ranks(values: Array) -> Array:
    """[draws] how many are smaller, ties and the value itself counted half."""
    ordered = np.sort(values)
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    ranks: Array = (below + upto) / 2.0
    return ranks


def _has_interval(claim: Claim, value: float, quantity: Quantity) -> bool:
    if not math.isfinite(value) or claim.n_items < MIN_DOCUMENTS or min(claim.sizes) < 2:
        return False
    models = {*PARTS[quantity], *(APART if quantity == "recovery" else ())}
    known = [getattr(stratum, which) for stratum in claim.strata for which in models]
    if not all(np.isfinite(values).all() for values in known):
        return False
    largest = max(float(np.abs(values).max()) for values in known)
    influences = influences_of(claim, quantity)
    return max(float(np.abs(i).max()) * len(i) for i in influences) > 1e-12 * largest


def _ends(
    claims: Sequence[Claim],
    quantity: Quantity,
    draws: Draws,
    level: float,
    resampled: Array | None = None,
) -> list[tuple[float, float]]:
    """The ends over items; NaN where there are none.  Claims of one shape are done together."""
    shapes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for at, claim in enumerate(claims):
        shapes[claim.sizes].append(at)
    ends = [(math.nan, math.nan)] * len(claims)
    for members in shapes.values():
        own = [claims[at] for at in members]
        drawn = (
            resampled[members]
            if resampled is not None
            else np.stack([draws.of(claim, quantity) for claim in own])
        )
        values = np.array([value_of(claim, quantity) for claim in own])
        # A draw without one of an attack's items says nothing of it.
        drawn = np.where(np.isfinite(drawn), drawn, values[:, None])
        influences = [
            np.stack(parts)
            for parts in zip(*(influences_of(claim, quantity) for claim in own), strict=True)
        ]
        levels = end_levels(drawn, values, influences, level)
        for at, pair in zip(members, quantiles(np.sort(drawn, axis=1), levels), strict=True):
            ends[at] = (float(pair[0]), float(pair[1]))
    return ends


def _joined(value: float, low: float, high: float, reach: float) -> Estimate:
    """The interval over items, widened by what the seeds add, in squares."""
    below, above = (math.hypot(distance, reach) for distance in (value - low, high - value))
    return Estimate(value, value - below, value + above)


# ---- seeds


def _of_seeds(claim: Claim, quantity: Quantity) -> list[tuple[Stratum, Array]]:
    """Of the forget sets with several seeds, what each seed's value adds to the quantity [S]."""
    apart = claim.mean("original") - claim.mean("retrained") if quantity == "recovery" else 1.0
    made = []
    for weight, stratum in zip(claim.weights, claim.strata, strict=True):
        if len(stratum.unlearned) < 2:
            continue
        values = claim.of_means(stratum.unlearned.mean(axis=1))
        if stratum.unattacked is not None and quantity in ("change", "unattacked"):
            before = claim.of_means(stratum.unattacked.mean(axis=1))
            values = values - before if quantity == "change" else before
        made.append((stratum, weight * values / apart))
    return made


def _seeds_error(claim: Claim, quantity: Quantity) -> tuple[float, float]:
    """The standard error over seeds, and its degrees of freedom (Satterthwaite)."""
    parts = [(of.var(ddof=1) / len(of), len(of) - 1) for _, of in _of_seeds(claim, quantity)]
    variance = float(sum(part for part, _ in parts))
    if variance == 0.0:
        return 0.0, 1.0
    return math.sqrt(variance), variance**2 / float(sum(part**2 / df for part, df in parts))


def _student(claim: Claim, quantity: Quantity) -> float:
    """Half the width of the interval over seeds alone; 0 for one seed."""
    from scipy.special import stdtrit

    error, df = _seeds_error(claim, quantity)
    return error * float(stdtrit(df, (1.0 + LEVEL) / 2.0)) if error else 0.0


def _joint_student(claims: Sequence[Claim], level: float = LEVEL) -> float:
    """The quantile of the largest of all claims' t over seeds, which they have in common.

    Seeds are drawn from the normal distribution of what was observed of them, claim by claim
    together, and t is taken anew of each draw.
    """
    furthest = np.zeros(N_JOINT)
    for claim in claims:
        mean, variance = np.zeros(N_JOINT), np.zeros(N_JOINT)
        for stratum, of in _of_seeds(claim, "recovery"):
            n = len(of)
            drawn = _normals(stratum.name, stratum.seeds, n) @ (of - of.mean()) / math.sqrt(n - 1)
            mean += drawn.mean(axis=1)
            variance += drawn.var(axis=1, ddof=1) / n
        varies = variance > 0
        furthest[varies] = np.maximum(
            furthest[varies], np.abs(mean[varies]) / np.sqrt(variance[varies])
        )
    return float(np.quantile(furthest, level))


@lru_cache(maxsize=16)
def _normals(forget_set: str, seeds: tuple[int, ...], n: int) -> Array:
    """[draws, S, S]: as many new seeds, each a mixture of the observed ones."""
    from zlib import crc32

    rng = np.random.default_rng([SEED, crc32(forget_set.encode()), *seeds, n])
    return rng.standard_normal((N_JOINT, n, n))
