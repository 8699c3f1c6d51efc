"""What rules rate texts by: pure functions of the words, each 0..1.

Words are those of token F1: lower case, without ASCII punctuation and English articles.
Text that is written without spaces is one word per run.
"""

import math
from itertools import pairwise

from unlearnbench.metrics.text import scored_words, sentence_bleu, token_entropy, token_f1

ENOUGH = 0.5  # of the reference's number of words; texts are cut off by tokens, not by words


def substance(candidate: str, reference: str) -> float:
    """Whether it says enough: its words over half the reference's number of words, at most 1.

    0 without a word; 1 for any word where the reference has none.
    """
    n_words, n_needed = len(scored_words(candidate)), ENOUGH * len(scored_words(reference))
    return min(1.0, n_words / n_needed) if n_needed else float(n_words > 0)


def novelty(candidate: str, reference: str) -> float:
    """1 - token F1 with the reference: 0 for the same bag of words, 1 for no common word."""
    return 1 - token_f1(candidate, (reference,))


def independence(candidate: str, reference: str) -> float:
    """1 - BLEU-4 with the reference: 0 for the same words in the same order."""
    return max(0.0, 1 - sentence_bleu(candidate, reference))


def freshness(prefix: str, candidate: str) -> float:
    """The share of neighbouring word pairs that stand neither in the prefix nor earlier in it.

    0 for fewer than two words: they say next to nothing.
    """
    seen = set(pairwise(scored_words(prefix)))
    pairs = list(pairwise(scored_words(candidate)))
    n_fresh = 0
    for pair in pairs:
        n_fresh += pair not in seen
        seen.add(pair)
    return n_fresh / len(pairs) if pairs else 0.0


def evenness(candidate: str) -> float:
    """Entropy of the word frequencies (eq. 10, over words) over its maximum, log2 of their number.

    0 for fewer than two words.
    """
    words = scored_words(candidate)
    if len(words) < 2:
        return 0.0
    numbers = {word: n for n, word in enumerate(dict.fromkeys(words))}
    return min(1.0, token_entropy([numbers[word] for word in words]) / math.log2(len(words)))
