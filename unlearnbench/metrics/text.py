"""How a continuation's text compares with the reference: BERTScore, BLEU-4, token entropy."""

import math
import re
import string
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize import NLTKWordTokenizer
    from sacrebleu.metrics import BLEU


def sentence_bleu(candidate: str, reference: str) -> float:
    """BLEU-4 of one text, 0..1, unsmoothed, over lower-cased word tokens.

    An order without a match counts as the smallest normal float, as in nltk, so
    that the value is tiny but not 0 (4.9e-78 with one such order); without any
    common word it is 0.  Counts and brevity penalty are sacrebleu's.
    """
    words, reference_words = _words(candidate), _words(reference)
    score = _bleu().corpus_score([" ".join(words)], [[" ".join(reference_words)]])
    if score.counts[0] == 0:
        return 0.0
    shares = [
        count / total if count else sys.float_info.min
        for count, total in zip(score.counts, score.totals, strict=True)
    ]
    return float(score.bp * math.exp(math.fsum(map(math.log, shares)) / len(shares)))


def token_entropy(ids: Sequence[int]) -> float:
    """Eq. 10: entropy of the token frequencies, in bits; 0 for no token.

    At most log2 of the number of tokens: 5.64 for 50.
    """
    shares = [count / len(ids) for count in Counter(ids).values()]
    return -math.fsum(p * math.log2(p) for p in shares) + 0.0  # + 0.0: no negative zero


def _words(text: str) -> list[str]:
    return word_tokenizer().tokenize(text.lower())


@cache
def word_tokenizer() -> "NLTKWordTokenizer":
    """Words and punctuation as nltk takes them apart."""
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer()


@cache
def _bleu() -> "BLEU":
    from sacrebleu.metrics import BLEU

    # Texts arrive as word tokens; force: it need not warn of tokenised text.
    return BLEU(effective_order=False, tokenize="none", smooth_method="none", force=True)


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
