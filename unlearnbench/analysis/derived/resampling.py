"""Numbers with their resamples over items, from which numbers made of them get their intervals."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.derived import membership

Array = NDArray[np.float64]
N_RESAMPLES = 1000
MIN_ITEMS = 10  # as everywhere: fewer have no interval
SEED = 20250105
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number and its resamples, over the same draws as every other of the same items."""

    value: float
    draws: Array | None  # [N_RESAMPLES]; None: too few items, or their values are not known
    n: int  # items
    ends: tuple[float, float] | None = None  # of an interval that is not the resamples' own
    n_least: int = 0  # items of the smallest split that it is made of

    @property
    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Percentiles widened for few items (Hesterberg 2015), unless it has other ends."""
        if self.ends is not None:
            return self.ends
        if self.draws is None or not np.isfinite(self.draws).all():
            return None, None
        outside = _outside(self.n_least)
        low, high = np.quantile(self.draws, [outside, 1 - outside])
        return float(low), float(high)


@lru_cache(maxsize=64)
def _outside(n: int) -> float:
    """The share of resamples beyond each end: less than 2.5%, as if by Student's quantile."""
    from scipy.stats import norm, t

    return float(norm.cdf(t.ppf((1 - LEVEL) / 2, n - 1) * math.sqrt(n / (n - 1))))


def weights_of(split: str, items: tuple[str, ...]) -> Array | None:
    """[N_RESAMPLES, items] the weight of each item in each resample; None for too few items.

    Hangs on the split and its items alone, so that every model and metric has the same.
    """
    return None if len(items) < MIN_ITEMS else _weights(split, items)


@lru_cache(maxsize=8)  # a split's metrics are asked for one after another
def _weights(split: str, items: tuple[str, ...]) -> Array:
    n = len(items)
    rng = np.random.default_rng([SEED, crc32("\0".join((split, *items)).encode())])
    places = rng.integers(n, size=(N_RESAMPLES, n)) + np.arange(N_RESAMPLES)[:, None] * n
    counts = np.bincount(places.ravel(), minlength=N_RESAMPLES * n)
    weights: Array = counts.reshape(N_RESAMPLES, n) / n
    return weights


def mean(split: str, documents: Mapping[str, float]) -> Estimate:
    """The mean over a split's items."""
    items = tuple(sorted(documents))
    values = [documents[item] for item in items]
    weights = weights_of(split, items)
    draws = None if weights is None else weights @ np.array(values)
    return Estimate(fmean(values), draws, len(items), n_least=len(items))


def area(
    forget: tuple[str, Mapping[str, float]], holdout: tuple[str, Mapping[str, float]]
) -> Estimate:
    """The AUC of two splits' scores, each given with the split's name, with Newcombe's interval."""
    (f_name, f), (h_name, h) = forget, holdout
    f_items, h_items = tuple(sorted(f)), tuple(sorted(h))
    f_values, h_values = np.array([f[i] for i in f_items]), np.array([h[i] for i in h_items])
    value = membership.auc(f_values, h_values)
    variance = membership.delong_variance(f_values, h_values)
    ends: tuple[float, float] | None
    ends = membership.auc_interval(value, len(f), len(h), variance)
    f_weights, h_weights = weights_of(f_name, f_items), weights_of(h_name, h_items)
    draws = None
    if f_weights is not None and h_weights is not None:
        draws = area_draws(f_values, h_values, f_weights, h_weights)
    ends = ends if draws is not None else None
    return Estimate(value, draws, len(f) + len(h), ends, min(len(f), len(h)))


def area_draws(forget: Array, holdout: Array, f_weights: Array, h_weights: Array) -> Array:
    """[draws] the AUC of scores [F] and [H] with weights [draws, F] and [draws, H]."""
    order = np.argsort(forget, kind="stable")
    share = np.zeros((len(f_weights), len(forget) + 1))  # of the forget scores up to each place
    np.cumsum(f_weights[:, order], axis=1, out=share[:, 1:])
    places = [np.searchsorted(forget[order], holdout, side=s) for s in ("left", "right")]
    below = (share[:, places[0]] + share[:, places[1]]) / 2  # ties half
    result: Array = np.einsum("bh,bh->b", h_weights, below)
    return result


def combined(formula: Callable[..., float], *parts: Estimate) -> Estimate:
    """A number made of others, resample by resample."""
    draws = None
    if all(part.draws is not None for part in parts):
        every = zip(*(part.draws.tolist() for part in parts if part.draws is not None), strict=True)
        # A resample that gives a part no value gives the whole none; the value itself stands.
        draws = np.array([math.nan if any(map(math.isnan, e)) else formula(*e) for e in every])
    value = formula(*(part.value for part in parts))
    n_least = min(part.n_least for part in parts)
    return Estimate(value, draws, sum(p.n for p in parts), n_least=n_least)


def from_ends(formula: Callable[..., float], *parts: Estimate) -> Estimate:
    """A number made of others that are independent, and grows with each, by their intervals.

    What each end moves the number by is added up in squares.  Resamples would not do for a part
    that has its best value where the truth may lie: none of them reaches it.
    """
    middle = [part.value for part in parts]
    value, n = formula(*middle), sum(part.n for part in parts)
    moved: tuple[list[float], list[float]] = [], []
    for at, part in enumerate(parts):
        for end, moves in zip(part.interval, moved, strict=True):
            if end is None:
                return Estimate(value, None, n)
            moves.append(formula(*middle[:at], end, *middle[at + 1 :]) - value)
    return Estimate(value, None, n, (value - math.hypot(*moved[0]), value + math.hypot(*moved[1])))


def correlation(first: Estimate, second: Estimate) -> float:
    """Of the two numbers' resamples; 0 where one of them does not vary or has none."""
    if first.draws is None or second.draws is None:
        return 0.0
    if not (np.ptp(first.draws) and np.ptp(second.draws)):
        return 0.0
    return float(np.corrcoef(first.draws, second.draws)[0, 1])
