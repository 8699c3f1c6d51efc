"""Token F1 of a reply by ParlAI's definition: how many of its words are the reference's."""

import re
import string
from collections import Counter
from collections.abc import Iterable

# Punctuation is put out by a space, so that "well-known" is two words.
_NO_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))
# Found after punctuation is gone: "the's" loses its article, and so does "“the".
_ARTICLE = re.compile(r"\b(?:an?|the)\b")


def token_f1(reply: str, references: Iterable[str]) -> float:
    """F1 of the two bags of words, 0..1; the best one over the references.

    0 where no word is shared, so also where either side has no words, be it both.
    Equal to `parlai.core.metrics.F1Metric` (ParlAI 1.7.2).
    """
    written = Counter(scored_words(reply))
    return max((_overlap_f1(written, Counter(scored_words(r))) for r in references), default=0.0)


def scored_words(text: str) -> list[str]:
    """The words that count: lower case, without ASCII punctuation and English articles."""
    return _ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def _overlap_f1(written: Counter[str], expected: Counter[str]) -> float:
    n_shared = (written & expected).total()
    if n_shared == 0:
        return 0.0
    precision, recall = n_shared / written.total(), n_shared / expected.total()
    return 2 * precision * recall / (precision + recall)
