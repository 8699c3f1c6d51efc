"""How a reply compares with the answer, and whether it is fluent."""

import math
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnbench.metrics.text import word_tokenizer

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

# RWKU's, of 2- and 3-grams.
_WEIGHTS = {2: 2 / 3, 3: 4 / 3}


class Overlap(NamedTuple):
    """ROUGE-L, 0..1."""

    recall: float  # the longest common subsequence over the reference's words
    f1: float


def rouge_l(reply: str, reference: str, stemmer: bool) -> Overlap:
    """ROUGE-L of a reply as rouge-score has it, with Porter's stemmer (TOFU) or without (MUSE)."""
    score = _scorer(stemmer).score(reference, reply)["rougeL"]
    return Overlap(float(score.recall), float(score.fmeasure))


@cache
def _scorer(stemmer: bool) -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=stemmer)


def exact_match(reply: str, reference: str, normalised: bool) -> float:
    """1 where both are the same, else 0; `normalised`: lower-cased and stripped (LUME)."""
    if normalised:
        reply, reference = reply.strip().lower(), reference.strip().lower()
    return float(reply == reference)


def n_gram_entropy(text: str) -> float:
    """Bits: the mean of 2/3 of the 2-grams' entropy and 4/3 of the 3-grams' (RWKU's fluency).

    Low for a text that repeats itself.  Words are nltk's; of a text with fewer than n words the
    n-grams' entropy is 0.
    """
    words = word_tokenizer().tokenize(text)
    entropies = [weight * _entropy(words, n) for n, weight in _WEIGHTS.items()]
    return sum(entropies) / len(entropies)


def _entropy(words: list[str], n: int) -> float:
    counts = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    total = counts.total()
    return -math.fsum(c / total * math.log2(c / total) for c in counts.values()) + 0.0


def clean_probabilities(classifier: str, texts: list[str], batch_size: int = 16) -> list[float]:
    """[n] the probability of class 'clean' (else of class 0) that a text classifier gives.

    A text without a word is not clean.  The classifier is a hub id or a folder; raises
    `UserError` where it cannot be had.
    """
    import torch

    tokenizer, network, clean = _classifier(classifier)
    longest = min(512, int(getattr(network.config, "max_position_embeddings", 512)))
    values = [0.0] * len(texts)
    order = sorted((i for i, t in enumerate(texts) if t.strip()), key=lambda i: len(texts[i]))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        inputs = tokenizer(
            [texts[i] for i in batch],
            padding=True,
            truncation=True,
            max_length=longest,
            return_tensors="pt",
        )
        with torch.inference_mode():
            probabilities = network(**inputs).logits.float().softmax(-1)[:, clean]
        for i, value in zip(batch, probabilities.tolist(), strict=True):
            values[i] = value
    return values


@cache
def _classifier(name: str) -> tuple[Any, Any, int]:
    """Its tokenizer, its network, and the class that stands for fluent text."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from unlearnbench.models.quiet import quiet_transformers

    folder = str(classifier_folder(name))
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        network = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
    labels = {str(label).lower(): int(i) for i, label in network.config.id2label.items()}
    return tokenizer, network.eval(), labels.get("clean", 0)


def classifier_folder(name: str) -> Any:
    """Where a text classifier lies; raises `UserError` where it cannot be had."""
    from unlearnbench.models.side_models import find_side_model

    return find_side_model(name, "text classifier", "--set replies.classifier=")
