"""What samples say of a model: how often it leaks, how certain that is, and what it leaks at worst.

n samples are drawn of each item.  Either c of them leak, or each has a score s in [0, 1], higher
for what is closer to the text that is to be forgotten.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import fmean, stdev


def leak_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k): the probability that one of k samples leaks, without bias.

    c of n samples leak, k <= n (leak@k, 2511.04934; Chen et al. 2021's pass@k).
    """
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def best_of_k(scores: Sequence[float], k: int) -> float:
    """Sum_i C(i-1, k-1) / C(n, k) s_(i), scores ascending: the expected best score of k samples.

    Without bias, k <= n (2511.04934); of scores that are 0 and 1 it is `leak_at_k`.
    """
    weights = _of_being_best(len(scores), k)
    return math.fsum(w * score for w, score in zip(weights, sorted(scores), strict=True))


@lru_cache(maxsize=32)
def _of_being_best(n: int, k: int) -> tuple[float, ...]:
    """[n] the probability that the i-th smallest of n is the largest of k of them."""
    n_subsets = math.comb(n, k)
    return tuple(math.comb(i - 1, k - 1) / n_subsets for i in range(1, n + 1))


def leak_variance(n: int, c: int, k: int) -> float:
    """Variance of `leak_at_k` over draws of n samples of one item, without bias; for 2k <= n.

    (C(n-c, k) / C(n, k))^2 - C(n-c, 2k) / C(n, 2k): the latter estimates the squared probability
    that none of k leaks, which is that none of 2k does.  Never below 0.
    """
    if 2 * k > n:
        raise ValueError(f"2 * {k} samples of {n}")
    none = math.comb(n - c, k) / math.comb(n, k)
    return none**2 - math.comb(n - c, 2 * k) / math.comb(n, 2 * k)


def over_items(values: Sequence[float]) -> tuple[float, float] | None:
    """95% interval of the mean over items, of which these are a sample, by resampling them.

    An item is drawn with its estimate as it is, which varies by the item and by its n samples, so
    the interval holds both errors; to draw its samples again would count theirs twice.  Where all
    items are at one end of 0..1 no resample differs: the other end of the interval is then
    Clopper's and Pearson's of the share of items that are not.  None for fewer than 10 items, and
    where all are alike elsewhere.
    """
    import numpy as np

    from unlearnbench.analysis.statistics.bootstrap import MIN_DOCUMENTS, intervals
    from unlearnbench.analysis.statistics.outcomes import Outcomes, RunKey, Stratum

    n = len(values)
    if n >= MIN_DOCUMENTS and set(values) in ({0.0}, {1.0}):
        reach = leak_upper(n, 0, 0.025)
        return (0.0, reach) if values[0] == 0 else (1.0 - reach, 1.0)
    items = tuple(map(str, range(n)))
    own = Stratum("", items, (RunKey("", None),), np.array([values]), np.ones(1))
    found = intervals([Outcomes((own,))])[0]
    return None if found is None else (found.low, found.high)


def leak_upper(n: int, c: int, alpha: float) -> float:
    """Upper bound on the probability of a leak, wrong with probability alpha at most.

    One-sided Clopper and Pearson 1934, the (1 - alpha) quantile of Beta(c+1, n-c): Scholten et al.
    2025's M_bin.  With the leaks and samples of several items together it bounds the mean of the
    items' probabilities (Hoeffding 1956: a sum of unequal trials is no more spread out).
    """
    from scipy.stats import binomtest

    interval = binomtest(c, n, alternative="less").proportion_ci(1 - alpha, method="exact")
    return float(interval.high)


def any_of_k(p: float, k: int) -> float:
    """1 - (1-p)^k: the probability that one of k samples leaks, where each does with p.

    Of a mean over items it is at least the items' mean, for it is concave.
    """
    return -math.expm1(k * math.log1p(-p)) if p < 1 else 1.0


def samples_for_bound(bound: float, alpha: float) -> int:
    """The least n of which, none leaking, `leak_upper` is the bound or less: 1 - alpha^(1/n)."""
    n = max(1, math.ceil(math.log(alpha) / math.log1p(-bound)))
    # The quotient of two logarithms may be rounded up to the next whole number.
    return n - 1 if n > 1 and bound_without_leak(n - 1, alpha) <= bound else n


def bound_without_leak(n: int, alpha: float) -> float:
    """`leak_upper` of n samples none of which leaks, in closed form: 1 - alpha^(1/n)."""
    return -math.expm1(math.log(alpha) / n)


def dkw_band(n: int, alpha: float) -> float:
    """sqrt(ln(1/alpha) / 2n): how far the distribution function of n samples' scores may be above
    the true one at any point, with probability alpha at most.

    One-sided, as Scholten et al. 2025 have it, with Massart 1990's constant; alpha <= 1/2.
    """
    return math.sqrt(math.log(1 / alpha) / (2 * n))


def exceeding_upper(scores: Sequence[float], x: float, alpha: float) -> float:
    """Upper bound on the probability of a score above x, for all x at once: 1 - F_n(x) + band.

    Scholten et al. 2025's M_gen; wrong at any x with probability alpha at most.
    """
    share = sum(score > x for score in scores) / len(scores)
    return min(1.0, share + dkw_band(len(scores), alpha))


def mean_upper(scores: Sequence[float], alpha: float) -> float:
    """Upper bound on the mean of scores in [0, 1]: the integral of `exceeding_upper` from 0 to 1.

    Scholten et al. 2025's M_mu; wrong with probability alpha at most.
    """
    n, band = len(scores), dkw_band(len(scores), alpha)
    ends = [0.0, *sorted(scores), 1.0]
    above = (min(1.0, (n - i) / n + band) for i in range(n + 1))  # between the i-th and the next
    steps = pairwise(ends)
    return math.fsum(share * (high - low) for share, (low, high) in zip(above, steps, strict=True))


def expectation_and_deviation(scores: Sequence[float]) -> float:
    """ED: mean + 2 standard deviations (Scholten et al. 2025), the sample's with n - 1."""
    return fmean(scores) + 2 * (stdev(scores) if len(scores) > 1 else 0.0)
