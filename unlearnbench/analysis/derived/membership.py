"""Membership inference: can a score tell the forget set from texts that no model saw?

A score is high for a text that the model does not know, as a loss is.  An AUC here is the
probability that a holdout text's score is above a forget text's, ties counting half: 1 where
every forget text is better known, 0.5 where a score tells nothing, as OpenUnlearning stores it.
MUSE counts the other way round: `muse_orientation`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unlearnbench.errors import UserError

Array = NDArray[np.float64]
OPEN_UNLEARNING_EPSILON = 1e-10  # in the denominator of its PrivLeak
_ROUNDING = 1e-9


class Interval(NamedTuple):
    """The two ends of a 95% interval."""

    low: float
    high: float


def auc(forget: Sequence[float] | Array, holdout: Sequence[float] | Array) -> float:
    """The area under the ROC curve: Mann-Whitney's U over n_forget * n_holdout, ties half.

    Raises `ValueError` for an empty side or a score that is NaN.
    """
    above, _ = placements(forget, holdout)
    return float(above.mean())


def placements(
    forget: Sequence[float] | Array, holdout: Sequence[float] | Array
) -> tuple[Array, Array]:
    """[F] the share of holdout scores above each forget score, [H] of forget scores below each
    holdout score; ties count half."""
    members, others = _checked(forget), _checked(holdout)
    above = 1 - _below(np.sort(others), members)
    return above, _below(np.sort(members), others)


def _below(ordered: Array, values: Array) -> Array:
    strictly = np.searchsorted(ordered, values, side="left")
    or_equal = np.searchsorted(ordered, values, side="right")
    share: Array = (strictly + or_equal) / (2 * len(ordered))
    return share


def delong_variance(
    forget: Sequence[float] | Array, holdout: Sequence[float] | Array
) -> float | None:
    """DeLong's variance of their AUC; None for fewer than two scores on a side."""
    sides = placements(forget, holdout)
    if min(map(len, sides)) < 2:
        return None
    return float(sum(np.var(side, ddof=1) / len(side) for side in sides))


def auc_interval(
    area: float,
    n_forget: float,
    n_holdout: float,
    variance: float | None = None,
    level: float = 0.95,
) -> Interval:
    """Newcombe's interval of an AUC (Statistics in Medicine 2006, method 5), widened to DeLong's.

    The ends are the areas whose own standard error, Hanley and McNeil's with both sizes replaced
    by their mean, is the distance to the observed one over z.  DeLong's and the bootstrap's have
    no width at 0 and 1, where a model that remembers or was pushed too far lies.  Newcombe's takes
    both sides to vary alike; where DeLong's `variance` is larger, all are enlarged by that factor.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    own = area_variance(area, n_forget, n_holdout)
    factor = max(variance / own, 1.0) if variance is not None and own > 0 else 1.0

    def excess(theta: float) -> float:
        variance_there = area_variance(theta, n_forget, n_holdout)
        return float((area - theta) ** 2 - factor * z**2 * variance_there)

    # The observed area itself solves it at 0 and 1, so the search begins beside it.
    low = float(brentq(excess, 0.0, min(area, 1 - _ROUNDING))) if area > 0 else 0.0
    high = float(brentq(excess, max(area, _ROUNDING), 1.0)) if area < 1 else 1.0
    return Interval(low, high)


def area_variance(theta: float, n_forget: float, n_holdout: float) -> float:
    """Hanley and McNeil's variance of an AUC of theta, both sizes replaced by their mean there."""
    n_more = (n_forget + n_holdout) / 2 - 1
    shape = 1 + n_more * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return theta * (1 - theta) * shape / (n_forget * n_holdout)


def tpr_at_fpr(
    forget: Sequence[float] | Array, holdout: Sequence[float] | Array, false_positive_rate: float
) -> float:
    """The share of forget texts found when that share of holdout texts is taken for them, 0..1.

    Texts are taken in the order of their scores, lowest first.  Between the points of the ROC
    curve it is linear: fewer holdout texts than 1/FPR leave no point of it below that rate.
    """
    members, others = _checked(forget), _checked(holdout)
    thresholds = np.unique(np.concatenate([members, others]))
    tpr = np.searchsorted(np.sort(members), thresholds, side="right") / len(members)
    fpr = np.searchsorted(np.sort(others), thresholds, side="right") / len(others)
    # Where several points have one FPR, `interp` leaves from the highest and arrives at the lowest.
    return float(np.interp(false_positive_rate, np.append(0.0, fpr), np.append(0.0, tpr)))


def _checked(scores: Sequence[float] | Array) -> Array:
    values = np.asarray(scores, float)
    if not values.size:
        raise ValueError("no scores")
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    return values


# ---- relative to a retrained model


def muse_orientation(area: float) -> float:
    """The AUC as MUSE counts it, from one that is 1 where forget texts are better known."""
    return 1.0 - area


def privacy_leakage(area: float, reference: float, epsilon: float = 0.0) -> float:
    """PrivLeak, per cent: (A - A_ref) / A_ref * 100, both areas in MUSE's orientation.

    -100 where the model knows every forget text better, 0 where it is as the retrained one,
    positive where it was pushed further.  There is no default reference: half for a missing one,
    as OpenUnlearning takes, gives a number that means nothing.  Raises `UserError` for an area
    that is none, or where nothing can be relative to the reference.
    """
    for name, value in (("AUC", area), ("reference's AUC", reference)):
        if not 0 <= value <= 1:
            raise UserError(f"no PrivLeak: the {name} is {value:g}, which is not within 0 and 1")
    if reference == 0 and not epsilon:
        raise UserError(
            "no PrivLeak: the reference's AUC is 0 as MUSE counts, so it knows every forget text "
            "better than any other and was trained on them, or the AUC is turned round: 1 - AUC"
        )
    return (area - reference) / (reference + epsilon) * 100


def privacy_leakage_range(reference: float) -> Interval:
    """The smallest and largest PrivLeak there can be: -100 and (1 - A_ref) / A_ref * 100."""
    return Interval(-100.0, privacy_leakage(1.0, reference))


def check_privacy_leakage(value: float, reference: float) -> None:
    """Raise `UserError` if no model can have that PrivLeak with a reference of that AUC (MUSE's).

    A value above the range fits a reference of a smaller AUC, which is that of a model that knows
    the forget set, or of an AUC turned round.
    """
    low, high = privacy_leakage_range(reference)
    if math.isnan(value) or value < low - _ROUNDING * 100:
        raise UserError(
            f"PrivLeak {value:g} is impossible: it is never below -100; the AUCs behind it are "
            "not within 0 and 1"
        )
    if value > high * (1 + _ROUNDING) + _ROUNDING:
        largest = 1 / (1 + value / 100)
        reason = (
            "the AUC is turned round (1 - AUC)"
            if value <= privacy_leakage_range(1 - reference).high
            else "the log is that of a model that knows the forget set, not a retrained one"
        )
        raise UserError(
            f"PrivLeak {value:g} is impossible with a reference AUC of {reference:g}, which allows "
            f"-100 to {high:.2f}; it takes a reference AUC of {largest:.4f} or less: {reason}"
        )


def closeness(area: float, reference: float) -> float:
    """s_a = 1 - min(|A - A_ref| / A_ref, 1), 0..1; 1 where it is as the retrained model's.

    UDS's, over areas that are 1 where forget texts are better known.
    """
    if reference <= 0:
        raise UserError("no closeness: the reference's AUC is 0, nothing can be relative to it")
    return 1.0 - min(abs(area - reference) / reference, 1.0)


def ratio_interval(
    area: float, of_area: Interval, reference: float, of_reference: Interval, correlation: float
) -> Interval | None:
    """The interval of area / reference from those of both (Donner and Zou's MOVER, 2012).

    `correlation` is that of the two estimates, which share their texts.  Unlike resamples of the
    ratio it has a width where the area is 0.  None where the reference's interval reaches 0 or
    is so wide that the ratio has no bound.
    """
    (l1, u1), (l2, u2) = of_area, of_reference
    if l2 <= 0 or 2 * reference - u2 <= 0:
        return None
    product = area * reference
    below = product - correlation * (area - l1) * (u2 - reference)
    above = product - correlation * (u1 - area) * (reference - l2)
    under = below**2 - l1 * u2 * (2 * area - l1) * (2 * reference - u2)
    over = above**2 - u1 * l2 * (2 * area - u1) * (2 * reference - l2)
    low = (below - math.sqrt(max(under, 0.0))) / (u2 * (2 * reference - u2))
    high = (above + math.sqrt(max(over, 0.0))) / (l2 * (2 * reference - l2))
    return Interval(max(low, 0.0), high)


def closeness_interval(ratio: Interval | None) -> Interval | None:
    """The interval of `closeness` from that of area / reference."""
    if ratio is None:
        return None
    ends = [1.0 - min(abs(end - 1.0), 1.0) for end in ratio]
    return Interval(min(ends), 1.0 if ratio.low <= 1.0 <= ratio.high else max(ends))
