"""Paired permutation test: are two cells' outcomes exchangeable, document by document?"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from unlearnbench.analysis.statistics.outcomes import Array, Outcomes

N_SIGNS = 9999
EXACT_UP_TO = 13  # documents that differ: 8,192 relabellings
SEED = 20250102
_MAX_NUMBERS = 1 << 22
_ROUNDING = 1e-12


def p_values(pairs: Sequence[tuple[Outcomes, Outcomes]]) -> list[float]:
    """Two-sided p-values of matched pairs: the share of relabellings with as large a difference.

    A relabelling swaps the two cells' outcomes of some documents, all runs of a document
    together.  Of up to 13 documents that differ all relabellings are counted; of more, 9,999
    random ones and the observed.  Where none of those is as extreme, p is Hoeffding's bound on
    the exact one if that is smaller than 1/10,000, so that corrected p-values of many pairs
    can still be small.  Perplexities are compared on the log scale, see `effects`.
    """
    found = [1.0] * len(pairs)
    sampled: dict[int, list[tuple[int, Array]]] = defaultdict(list)
    for at, pair in enumerate(pairs):
        of_documents = effects(*pair)
        differing = of_documents[of_documents != 0.0]
        if _disagrees(differing, pair) or not len(differing):
            continue
        if len(differing) <= EXACT_UP_TO:
            found[at] = _exact(differing)
        else:
            sampled[len(of_documents)].append((at, of_documents))
    for members in sampled.values():
        step = max(1, _MAX_NUMBERS // N_SIGNS)
        for start in range(0, len(members), step):
            some = members[start : start + step]
            of_pairs = _sampled(np.stack([each for _, each in some], axis=1))
            for (at, _), p in zip(some, of_pairs, strict=True):
                found[at] = float(p)
    return found


def effects(first: Outcomes, second: Outcomes) -> Array:
    """[D] what each document adds to first minus second; swapping it turns the sign.

    Of perplexities to the difference of their logarithms, to first order around the two
    cells' midpoint, which no swap moves: runs weigh there by their share of the perplexity.
    """
    strata = list(zip(first.strata, second.strata, strict=True))
    weights = [a.weights for a, _ in strata]
    if first.is_exp:
        middle = np.concatenate([(a.values + b.values).mean(axis=1) / 2 for a, b in strata])
        shares = np.concatenate(weights) * np.exp(middle - middle.max())
        ends = np.cumsum([len(each) for each in weights])[:-1]
        weights = np.split(shares / shares.sum(), ends)
    return np.concatenate(
        [_effects(w, a.values, b.values) for w, (a, b) in zip(weights, strata, strict=True)]
    )


def _effects(weights: Array, first: Array, second: Array) -> Array:
    found = weights @ (first - second) / first.shape[1]
    # Equal sums over runs may differ by rounding: that is no difference.
    largest = weights @ (np.abs(first) + np.abs(second)) / first.shape[1]
    return np.where(np.abs(found) <= _ROUNDING * largest, 0.0, found)


def _disagrees(differing: Array, pair: tuple[Outcomes, Outcomes]) -> bool:
    """Whether the printed perplexities differ the other way than their tested logarithms.

    They may where the runs' differences are large and of both signs: nothing is told apart.
    """
    return pair[0].is_exp and differing.sum() * (pair[0].value - pair[1].value) < 0


def _exact(differing: Array) -> float:
    sums = np.abs(_all_signs(len(differing)) @ differing)
    return float((sums >= _threshold(differing)).mean())


def _sampled(of_documents: Array) -> Array:
    """[pairs] p-values of effects [D, pairs], over the same random relabellings."""
    thresholds = _threshold(of_documents)
    n_as_large = np.zeros(of_documents.shape[1])
    for signs in _random_signs(len(of_documents)):
        n_as_large += (np.abs(signs @ of_documents) >= thresholds).sum(axis=0)
    bounds = np.minimum(1 / (N_SIGNS + 1), _bound(of_documents))
    found: Array = np.where(n_as_large > 0, (n_as_large + 1) / (N_SIGNS + 1), bounds)
    return found


def _threshold(of_documents: Array) -> Array:
    """What counts as as large as observed, rounding allowed for."""
    return np.abs(of_documents.sum(axis=0)) - _ROUNDING * np.abs(of_documents).sum(axis=0)


def _bound(of_documents: Array) -> Array:
    """Hoeffding's inequality for a sum of effects with random signs, both tails."""
    squares = (of_documents**2).sum(axis=0)
    found: Array = 2.0 * np.exp(-(of_documents.sum(axis=0) ** 2) / (2.0 * squares))
    return found


def _random_signs(n_documents: int) -> Iterator[Array]:
    """[draws, D] of -1 and 1, in portions; the same for every pair."""
    rng = np.random.default_rng([SEED, n_documents])
    step = math.ceil(_MAX_NUMBERS / n_documents)
    for start in range(0, N_SIGNS, step):
        size = (min(step, N_SIGNS - start), n_documents)
        signs = rng.integers(2, size=size, dtype=np.int8).astype(float)
        signs *= 2.0
        signs -= 1.0
        yield signs


@cache
def _all_signs(n: int) -> Array:
    """[2^n, n] every assignment of -1 and 1."""
    return np.where((np.arange(2**n)[:, None] >> np.arange(n)) & 1, 1.0, -1.0)
