"""What the tokens of an answer say of it, in the field's formulas: pure functions of arrays.

`log_probabilities` [T] are natural logarithms of p(token | prompt, tokens before it), `is_greedy`
[T] says of each token whether it was the likeliest.  M = -mean(log_probabilities) is the mean
negative log-likelihood per token.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

Values = Sequence[float] | np.ndarray  # [T]
_LEAST = 1e-10  # of a denominator, as TOFU has it


def probability(log_probabilities: Values) -> float:
    """exp(-M), 0..1: the geometric mean of the tokens' probabilities (TOFU)."""
    return math.exp(_mean(log_probabilities))


def normalised_probability(right: float, wrong: Sequence[float]) -> float:
    """p / (p + the wrong answers' + 1e-10), 0..1: TOFU's, of real authors and world facts."""
    return right / (right + math.fsum(wrong) + _LEAST)


def geometric_probability(answers: Sequence[Values]) -> float:
    """exp(-mean M) over several answers, 0..1: the truth ratio's numerator, as TOFU's code has it.

    The paper has the arithmetic mean, which is never smaller.
    """
    return math.exp(_mean([_mean(each) for each in answers]))


def arithmetic_probability(answers: Sequence[Values]) -> float:
    """The mean of exp(-M) over several answers, 0..1: the truth ratio's numerator in the paper."""
    return _mean([probability(each) for each in answers])


def extraction_strength(is_greedy: Values, floor: Literal["zero", "released"] = "zero") -> float:
    """1 - k/T, 0..1: how much of the answer's end comes out of the rest (Carlini et al. 2023).

    k is the smallest number of tokens after which every prediction is right; where the last one
    is wrong there is none, and the strength is 0.  The released code's loop then stops at T - 1:
    its `released` floor is 1/T, as if the last token had been right.
    """
    hits = np.asarray(is_greedy, dtype=bool)
    wrong = np.flatnonzero(~hits)
    k = int(wrong[-1]) + 1 if len(wrong) else 0
    if floor == "released":
        k = min(k, len(hits) - 1)
    return 1 - k / len(hits)


def exact_memorisation(is_greedy: Values) -> float:
    """The share of tokens that are the likeliest, 0..1 (Tirumala et al. 2022)."""
    return _mean(is_greedy)


# Membership scores: high for texts that a model has not been trained on.


def loss_score(log_probabilities: Values) -> float:
    """M, nats per token (Yeom et al. 2018)."""
    return -_mean(log_probabilities)


def zlib_score(log_probabilities: Values, text: str) -> float:
    """M over the bytes of the text as zlib packs it (Carlini et al. 2021)."""
    import zlib

    return loss_score(log_probabilities) / len(zlib.compress(text.encode()))


def min_k(values: Values, share: float = 0.4) -> float:
    """Minus the mean of the lowest max(1, floor(share * T)) values [T].

    Min-K of log-probabilities (Shi et al. 2024), Min-K++ of `standardised` ones.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    return -_mean(ordered[: max(1, int(share * len(ordered)))])


def standardised(log_probabilities: Values, mean: Values, variance: Values) -> np.ndarray:
    """[T] z = (log p_t - mean) / sigma, the variance 1e-6 at least (Zhang et al. 2024, Min-K++).

    Mean and variance are those of the next token's log-probability under the model.
    """
    sigma = np.sqrt(np.maximum(variance, 1e-6))
    return np.asarray((np.asarray(log_probabilities) - np.asarray(mean)) / sigma)


def _mean(values: Values) -> float:
    """In double precision, whatever the values are in."""
    return float(np.mean(np.asarray(values, dtype=float)))
