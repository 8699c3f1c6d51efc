"""TOFU's truth ratio and extraction strength as released.

Sources: TOFU (locuslab/tofu), OpenUnlearning (locuslab/open-unlearning).  Probabilities are those
of a whole answer per token, exp(-M), M the mean negative log-likelihood of its tokens in nats.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

EPSILON = 1e-10  # OpenUnlearning's, in the denominators
Average = Literal["geometric", "arithmetic"]


def wrong_probability(losses: Sequence[float], average: Average = "geometric") -> float:
    """The probability of an item's wrong answers, 0..1, from the mean token loss of each, in nats.

    TOFU's leaderboard and OpenUnlearning take the geometric mean exp(-mean_j M_j); TOFU's paper
    and its other script the arithmetic one, mean_j exp(-M_j).
    """
    if not losses:
        raise ValueError("no wrong answers")
    if average == "geometric":
        return math.exp(-fmean(losses))
    return fmean(math.exp(-loss) for loss in losses)


def truth_ratio(right: float, wrong: float, epsilon: float = EPSILON) -> float:
    """R = P(wrong) / (P(right) + epsilon), 0 to infinity: above 1 the wrong answers are likelier.

    P(right) is that of the paraphrased answer (forget and retain set) or of the answer itself
    (real authors, world facts).
    """
    return wrong / (right + epsilon)


def closer_to_1(ratio: float) -> float:
    """min(R, 1/R), 0..1: the forget set's aggregation; 1 where right and wrong are alike likely."""
    return 0.0 if ratio <= 0 or math.isinf(ratio) else min(ratio, 1 / ratio)


def true_better(ratio: float) -> float:
    """max(0, 1 - R), 0..1: the aggregation of every other set; 1 where only the truth is likely."""
    return max(0.0, 1.0 - ratio)


def prob_mean(right: float, wrong: float, epsilon: float = EPSILON) -> float:
    """P(right) / (P(right) + P(wrong)), 0..1: OpenUnlearning's aggregation since December 2025."""
    return right / (right + wrong + epsilon)


def normalised_probability(right: float, wrong: Sequence[float], epsilon: float = EPSILON) -> float:
    """p / (p + sum of the wrong answers' p + epsilon), 0..1: real authors and world facts."""
    return right / (right + math.fsum(wrong) + epsilon)


def released_extraction_strength(strength: float, n_tokens: int) -> float:
    """Extraction strength as OpenUnlearning computes it, from the exact one of `n_tokens` tokens.

    Its search stops one token early, so that an answer of which nothing can be extracted scores
    1/T, as one whose last token alone is right does; of no tokens it is 0.
    """
    return max(strength, 1 / n_tokens) if n_tokens else 0.0
