"""Bootstrap intervals of table cells over documents, the runs held fixed."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unlearnbench.analysis.statistics.outcomes import Array, Outcomes

LEVEL = 0.95
N_RESAMPLES = 2000
SEED = 20250101
MIN_DOCUMENTS = 10
_MAX_NUMBERS = 1 << 22  # of an array that is made on the way: 32 MiB


class Interval(NamedTuple):
    """The two ends, in printed units."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class _Sample:
    """Outcomes with what resampling needs of them."""

    values: tuple[Array, ...]  # by stratum [R, D]; of a mean R = 1, its runs summed already
    weights: tuple[Array, ...]  # by stratum [R]
    slopes: tuple[Array, ...]  # by stratum [D]: of the value in the stratum's mean
    largest: float  # what rounding is relative to
    outcomes: Outcomes

    @property
    def shape(self) -> tuple[bool, tuple[tuple[int, ...], ...]]:
        """What samples must have in common to be resampled together."""
        return self.outcomes.is_exp, tuple(v.shape for v in self.values)


def intervals(
    outcomes: Sequence[Outcomes | None],
    level: float = LEVEL,
    n_resamples: int = N_RESAMPLES,
    seed: int = SEED,
) -> list[Interval | None]:
    """BCa intervals, widened for few documents, of many cells at once.

    A document is drawn with all the runs that share it, within its stratum.  None for None,
    for fewer than 10 documents or a stratum of one, for a value or document that is not
    finite, and where all documents are alike, which leaves nothing to resample.  An end
    beyond the outermost resample is that resample.  Cells of one shape share the draws.
    """
    ends_of: list[Interval | None] = [None] * len(outcomes)
    batches: dict[object, list[tuple[int, _Sample]]] = defaultdict(list)
    for at, each in enumerate(outcomes):
        if each is not None and (sample := _sample(each)) is not None:
            batches[sample.shape].append((at, sample))
    for members in batches.values():
        n_runs = max(values.shape[0] for values in members[0][1].values)
        step = max(1, _MAX_NUMBERS // (n_resamples * n_runs))
        for start in range(0, len(members), step):
            some = members[start : start + step]
            ends = _ends([sample for _, sample in some], level, n_resamples, seed)
            for (at, _), (low, high) in zip(some, ends, strict=True):
                if np.isfinite(low) and np.isfinite(high):
                    ends_of[at] = Interval(float(low), float(high))
    return ends_of


def _sample(outcomes: Outcomes) -> _Sample | None:
    strata = outcomes.strata
    if outcomes.n_documents < MIN_DOCUMENTS or min(len(s.documents) for s in strata) < 2:
        return None
    largest = max(float(np.abs(s.values).max()) for s in strata)
    if not (math.isfinite(largest) and math.isfinite(outcomes.value)):
        return None
    if not outcomes.is_exp:
        sums = tuple(s.weights @ s.values for s in strata)
        values = tuple(each[None, :] for each in sums)
        largest *= max(float(np.abs(s.weights).sum()) for s in strata)
        return _Sample(values, (np.ones(1),) * len(strata), sums, largest, outcomes)
    values, weights = tuple(s.values for s in strata), tuple(s.weights for s in strata)
    of_runs = [s.weights * outcomes.of_means(s.values.mean(axis=1)) for s in strata]
    slopes = tuple(each @ s.values for each, s in zip(of_runs, strata, strict=True))
    largest *= max(float(np.abs(each).sum()) for each in of_runs)
    return _Sample(values, weights, slopes, largest, outcomes)


def _ends(samples: Sequence[_Sample], level: float, n_resamples: int, seed: int) -> Array:
    """[samples, 2] both ends of samples of one shape; NaN where there are none."""
    values = np.array([sample.outcomes.value for sample in samples])
    by_stratum = [np.stack(parts) for parts in zip(*(s.slopes for s in samples), strict=True)]
    # What one more of a document adds to the value.
    influences = [(s - s.mean(axis=1, keepdims=True)) / s.shape[1] for s in by_stratum]
    resampled = _resampled(samples, n_resamples, seed)
    levels = end_levels(resampled, values, influences, level)
    widest = np.max([np.abs(i).max(axis=1) * i.shape[1] for i in influences], axis=0)
    levels[widest <= 1e-12 * np.array([sample.largest for sample in samples])] = np.nan
    resampled.sort(axis=1)
    return quantiles(resampled, levels)


def _resampled(samples: Sequence[_Sample], n_resamples: int, seed: int) -> Array:
    """[samples, n_resamples] the cells' values over drawn documents."""
    of_means = samples[0].outcomes.of_means
    resampled = np.zeros((len(samples), n_resamples))
    for at in range(len(samples[0].values)):
        values = np.stack([sample.values[at] for sample in samples])  # [samples, R, D]
        weights = np.stack([sample.weights[at] for sample in samples])  # [samples, R]
        n_documents = values.shape[-1]
        start = 0
        for counts in _drawn_counts(n_documents, n_resamples, seed, at):
            means = values @ (counts.T / n_documents)  # [samples, R, draws]
            stop = start + len(counts)
            resampled[:, start:stop] += np.einsum("sr,srb->sb", weights, of_means(means))
            start = stop
    return resampled


def _drawn_counts(n_documents: int, n_draws: int, seed: int, stratum: int) -> Iterator[Array]:
    """[draws, D] how often each document was drawn, in portions; the same for every cell."""
    rng = np.random.default_rng([seed, stratum, n_documents])
    step = max(1, _MAX_NUMBERS // n_documents)
    for start in range(0, n_draws, step):
        n = min(step, n_draws - start)
        drawn = rng.integers(n_documents, size=(n, n_documents))
        drawn += np.arange(n)[:, None] * n_documents
        counts = np.bincount(drawn.ravel(), minlength=n * n_documents)
        yield counts.reshape(n, n_documents).astype(float)


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
    between: Array = np.where(np.isnan(levels), np.nan, low + (at - below) * (high - low))
    return between


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
    acceleration: Array = cubes / (6.0 * squares**1.5)
    return acceleration


def _reach(influences: Sequence[Array], level: float) -> Array:
    """[cells] normal quantile of the level, times what a bootstrap falls short by."""
    from scipy.special import stdtrit

    squares = [(each**2).sum(axis=1) for each in influences]
    sizes = [each.shape[1] for each in influences]
    unbiased = sum(s * n / (n - 1) for s, n in zip(squares, sizes, strict=True))
    student = stdtrit(sum(sizes) - len(sizes), (1.0 + level) / 2.0)
    reach: Array = student * np.sqrt(unbiased / sum(squares))
    return reach
