"""Power: the smallest difference that so many documents, seeds or rows can show.

A difference is shown where a two-sided test at the 5% level rejects that there is none; it can be
shown where that happens in 80% of such measurements.  Everything here depends on numbers of
documents and on assumed or measured spreads, never on how large a difference was observed: the
power to detect the observed difference is its p-value written in another way (Hoenig and Heisey
2001).  NaN where no difference, however large, would be shown.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.derived import ks, membership

POWER = 0.8
LEVEL = 0.05
DISCORDANT = 0.2  # assumed of right or wrong documents: the share that two rows answer differently
CORRELATION = 0.5  # assumed of the AUCs of two models that score the same texts
_NORMAL_FROM = 2000  # documents, from which on Student's t is the normal distribution
_MOST = 10**9  # documents or seeds, above which nobody can measure
_EXACT_KS_UP_TO = 2000  # items, up to which the exact test's ladder is searched

Array = NDArray[np.float64]


def corrected_level(n_pairs: int, level: float = LEVEL) -> float:
    """Holm's level for the first of so many pairs, the least that it asks of any."""
    return level / max(n_pairs, 1)


# ---- the mean of paired differences


def difference_shown(
    error: float, df: float, n_pairs: int = 1, power: float = POWER, level: float = LEVEL
) -> float:
    """The smallest difference shown by an estimate with that standard error, by Student's t."""
    return (
        _noncentrality(df, power, corrected_level(n_pairs, level)) * error if df > 0 else math.nan
    )


def mean_difference(
    n: int, sd: float = 1.0, n_pairs: int = 1, power: float = POWER, level: float = LEVEL
) -> float:
    """The smallest mean of paired differences that n documents can show, in units of `sd`.

    `sd` is the standard deviation of a document's difference.  The sign-flip test's power on
    normal differences is that of Student's paired test, to second order; with fewer documents than
    give any p-value under the level there is none.
    """
    if not can_be_significant(n, n_pairs, level):
        return math.nan
    return difference_shown(sd / math.sqrt(n), n - 1, n_pairs, power, level)


def can_be_significant(n: int, n_pairs: int = 1, level: float = LEVEL) -> bool:
    """Whether the least p-value of a sign-flip test of n documents, 2^(1 - n), is small enough."""
    return 2.0 ** (1 - n) <= corrected_level(n_pairs, level)


def documents_needed(difference: float, sd: float, n_pairs: int = 1) -> int | None:
    """How many documents can show a mean difference of that size; None if no number can."""
    return _least(lambda n: mean_difference(n, sd, n_pairs) <= abs(difference), difference, sd)


def _least(shows: Callable[[int], bool], difference: float, sd: float) -> int | None:
    """The least number that shows the difference, from which on all do; None for too many."""
    if not (math.isfinite(difference) and math.isfinite(sd)) or not difference:
        return None
    low, high = 1, 2
    while not shows(high):
        low, high = high, 2 * high
        if low > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


def effective_documents(sizes: Sequence[int]) -> float:
    """The number of documents that tell a mean as exactly as the unweighted mean of sets' means."""
    return len(sizes) ** 2 / sum(1 / size for size in sizes)


def _noncentrality(df: float, power: float, level: float) -> float:
    """The mean of a t statistic of unit spread that a two-sided test rejects with that power."""
    from scipy.special import nctdtrinc, ndtri, stdtrit

    if df >= _NORMAL_FROM:
        return float(ndtri(1 - level / 2) + ndtri(power))
    # The other tail's share of the power is nothing where the power is large.
    return float(nctdtrinc(df, 1 - power, stdtrit(df, 1 - level / 2)))


# ---- shares of documents that are right or wrong


def share_difference(
    n: int,
    discordant: float = DISCORDANT,
    n_pairs: int = 1,
    power: float = POWER,
    level: float = LEVEL,
) -> float:
    """The smallest difference of two rows' shares of right documents that n documents can show.

    `discordant` is the share of documents that one row has right and the other wrong: the
    difference can be no larger.  Exact: the sign-flip test of right and wrong documents is the
    sign test of the discordant ones (McNemar), whose number is binomial.
    """
    level = corrected_level(n_pairs, level)
    if not share_power(n, discordant, discordant, level) >= power:
        return math.nan
    return _smallest(
        lambda difference: share_power(n, difference, discordant, level) - power, 0.0, discordant
    )


def share_power(n: int, difference: float, discordant: float, level: float = LEVEL) -> float:
    """The power of the exact sign test to show that difference of two rows' shares."""
    from scipy.special import bdtrc, gammaln, xlog1py, xlogy

    if not 0 <= difference <= discordant <= 1:
        raise ValueError(f"a difference of {difference:g} with {discordant:g} discordant")
    reach = 8 * math.sqrt(n * discordant * (1 - discordant)) + 1
    middle = n * discordant
    k = np.arange(max(0, math.floor(middle - reach)), min(n, math.ceil(middle + reach)) + 1)
    log_chance = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    chance = np.exp(log_chance + xlogy(k, discordant) + xlog1py(n - k, -discordant))
    critical = _critical_counts(k, level)
    better = (discordant + difference) / (2 * discordant) if discordant else 0.5
    beyond = sum(bdtrc(critical - 1, k, share) for share in (better, 1 - better))
    return float(chance @ np.where(critical > k, 0.0, beyond))


def _critical_counts(k: NDArray[np.int_], level: float) -> NDArray[np.int_]:
    """[K] the least count of k fair coins that is significant, two-sided; k + 1: none is."""
    from scipy.special import bdtrc

    low, high = k // 2, k + 1
    while (high - low > 1).any():  # P(X >= count) falls with the count
        middle = (low + high) // 2
        significant = (2 * bdtrc(middle - 1, k, 0.5) <= level) & (middle <= k)
        moving = high - low > 1
        low = np.where(moving & ~significant, middle, low)
        high = np.where(moving & significant, middle, high)
    return high


def _smallest(lacking: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that grows from below 0 to above it reaches it."""
    from scipy.optimize import brentq

    return high if lacking(high) == 0 else float(brentq(lacking, low, high, xtol=1e-6))


# ---- the distance of two distributions

# By simulation of normal samples that differ by a shift, 20 to 400 items: the true D that is found
# in 80% of them lies so many standard errors sqrt((1 - D^2)(1/n + 1/m)) beside the critical D.  The
# largest of many distances is more than the distance at one place, so it lies below.
_SHIFT = -0.066


def ks_critical(n: int, m: int, level: float = LEVEL) -> float:
    """The least measured D of n and m items that the two-sample test calls significant.

    Exact for n = m up to 2,000, else Kolmogorov's limit.
    """
    from scipy.special import kolmogi

    if n == m <= _EXACT_KS_UP_TO:
        return ks.smallest_detectable(n, level)
    limit = float(kolmogi(level)) * math.sqrt(1 / n + 1 / m)
    return limit if limit <= 1 else math.nan


def ks_distance(n: int, m: int) -> float:
    """The true D of two samples of n and m items that differ by a shift, found in 80% of them."""
    return _beyond(ks_critical(n, m), _SHIFT, n, m)


def ks_distance_at_worst(n: int, m: int, power: float = POWER) -> float:
    """The true D that is found with that power whatever the two distributions are (Massey 1950).

    By the distance at the one place where it is largest: a normal approximation, of the largest
    variance that it can have there.
    """
    from scipy.special import ndtri

    return _beyond(ks_critical(n, m), float(ndtri(power)) / 2, n, m)


def _beyond(critical: float, errors: float, n: int, m: int) -> float:
    """The D that lies so many of its own standard errors beside the critical one."""
    if math.isnan(critical):
        return math.nan

    def excess(distance: float) -> float:
        error = math.sqrt((1 - distance**2) * (1 / n + 1 / m))
        return distance - critical - errors * error

    return _smallest(excess, 0.0, 1.0)


# ---- membership inference


def auc_from_chance(
    n_forget: int, n_holdout: int, power: float = POWER, level: float = LEVEL
) -> float:
    """How far from 0.5 an AUC must lie to be told from it, by Hanley and McNeil's variance."""
    return auc_change(n_forget, n_holdout, 0.5, None, power, level)


def auc_change(
    n_forget: int,
    n_holdout: int,
    area: float = 0.5,
    correlation: float | None = CORRELATION,
    power: float = POWER,
    level: float = LEVEL,
) -> float:
    """How far from `area` a model's AUC must lie to be told from it.

    With a correlation `area` is another model's on the same texts, as a retrained one's is, and
    both have errors; None: it is a number.  NaN if not even an AUC of 1 would be told from it.
    """
    from scipy.special import ndtri

    significant, powerful = float(ndtri(1 - level / 2)), float(ndtri(power))

    def error(of: float) -> float:
        own, other = (
            math.sqrt(membership.area_variance(a, n_forget, n_holdout)) for a in (of, area)
        )
        if correlation is None:
            return own
        return math.sqrt(own**2 + other**2 - 2 * correlation * own * other)

    def lacking(change: float) -> float:
        return change - significant * error(area) - powerful * error(area + change)

    if lacking(1 - area) < 0:
        return math.nan
    return _smallest(lacking, 0.0, 1 - area)


def tpr_above(
    n_forget: int, false_positive_rate: float, power: float = POWER, level: float = LEVEL
) -> float:
    """The smallest TPR at that FPR which n forget texts can show to be more than the FPR.

    Exact and one-sided, the threshold taken as known: the error of one that holdout texts set
    comes on top, and fewer than 1 / FPR of them set none.
    """
    from scipy.special import bdtrc

    counts = np.arange(1, n_forget + 1)
    significant = counts[bdtrc(counts - 1, n_forget, false_positive_rate) <= level]
    if not significant.size:
        return math.nan
    least = int(significant[0]) - 1
    return _smallest(lambda tpr: float(bdtrc(least, n_forget, tpr)) - power, 0.0, 1.0)


# ---- seeds


def seeds_difference(
    n_seeds: int,
    sd: float = 1.0,
    n_pairs: int = 1,
    paired: bool = False,
    power: float = POWER,
    level: float = LEVEL,
) -> float:
    """The smallest difference of two methods' means over seeds, in units of `sd`; NaN for one.

    `sd` is a method's over seeds, the two methods' seeds having nothing in common; `paired`: of
    the differences of runs of the same seed.  Seeds of unlearning and of training alike.
    """
    df = n_seeds - 1 if paired else 2 * (n_seeds - 1)
    error = sd * math.sqrt((1 if paired else 2) / max(n_seeds, 1))
    return difference_shown(error, df, n_pairs, power, level)


def seeds_needed(difference: float, sd: float, n_pairs: int = 1) -> int | None:
    """How many seeds can show a difference, paired by seed; None if no number can."""

    def shows(n: int) -> bool:
        return seeds_difference(n, sd, n_pairs, paired=True) <= abs(difference)

    return _least(shows, difference, sd)
