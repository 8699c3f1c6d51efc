"""How a continuation's text compares with the reference: BERTScore, BLEU-4, token entropy."""

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.metrics.bertscore_model import bert_folder, bert_layers

if TYPE_CHECKING:
    from bert_score import BERTScorer
    from nltk.tokenize import NLTKWordTokenizer
    from sacrebleu.metrics import BLEU

    from unlearnbench.metrics.bertscore import TokenVectors

Pair = tuple[str, str]  # candidate and reference
_MAX_SCORED = 8192  # pairs whose BERTScore is remembered


class BertScore:
    """BERTScore F1 (Zhang et al. 2020) without idf weights and without rescaling.

    `model` is a hub id, a folder or 'nano'; None is bert-base-uncased, read at
    layer 9.  Weights are loaded once, at the first text that needs them.
    """

    def __init__(
        self, model: str | None = None, num_layers: int | None = None, device: str | None = None
    ) -> None:
        self.model, self.num_layers, self.device = model, num_layers, device
        self._loaded: list[BERTScorer] = []
        self._vectors: TokenVectors | None = None
        self._scored: dict[Pair, float] = {}

    def forget(self) -> None:
        """Remember no text and no pair; the network stays loaded."""
        self._vectors, self._scored = None, {}

    def afresh(self) -> "BertScore":
        """One with the same network that remembers nothing: rounding depends on what was asked."""
        other = BertScore(self.model, self.num_layers, self.device)
        other._loaded = self._loaded
        return other

    def f1(self, candidates: Sequence[str], references: Sequence[str]) -> list[float]:
        """One F1 per pair, at most 1; 0 where a text is empty.

        A pair that was scored before is not scored again.  Raises `UserError` where the weights
        cannot be had.
        """
        pairs = list(zip(candidates, references, strict=True))
        # bert-score fails on an empty text with transformers 5
        known = {
            pair: self._scored.get(pair) for pair in pairs if pair[0].strip() and pair[1].strip()
        }
        if new := [pair for pair, value in known.items() if value is None]:
            known.update(zip(new, self._token_vectors().f1(new), strict=True))
        self._remember(known)
        return [known.get(pair) or 0.0 for pair in pairs]

    def _token_vectors(self) -> "TokenVectors":
        from unlearnbench.metrics.bertscore import TokenVectors

        if self._vectors is None:
            self._vectors = TokenVectors(self.scorer)
        return self._vectors

    def _remember(self, found: "Mapping[Pair, float | None]") -> None:
        self._scored.update({pair: value for pair, value in found.items() if value is not None})
        while len(self._scored) > _MAX_SCORED:
            del self._scored[next(iter(self._scored))]

    @property
    def scorer(self) -> "BERTScorer":
        """The library's scorer, loaded."""
        if not self._loaded:
            self._loaded.append(self._load())
        return self._loaded[0]

    def _load(self) -> "BERTScorer":
        import torch
        from bert_score import BERTScorer

        folder = bert_folder(self.model)
        layers = self.num_layers or bert_layers(self.model, folder)
        try:
            # Weights the file lacks (a pooler) are drawn at random: not from the run's generator.
            with torch.random.fork_rng(), _quiet():
                scorer = BERTScorer(model_type=str(folder), num_layers=layers, device=self.device)
        except (OSError, ValueError, AssertionError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise UserError(
                f"BERTScore cannot use the BERT in {folder}: {first}; give another: --bert DIR"
            ) from error
        _limit_length(scorer)
        return scorer


def _limit_length(scorer: Any) -> None:
    # A tokenizer that knows no limit says 10^30, which overflows; the network knows.
    positions = int(getattr(scorer._model.config, "max_position_embeddings", 512))
    tokenizer = scorer._tokenizer
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)


@contextmanager
def _quiet() -> Iterator[None]:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


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
    return _word_tokenizer().tokenize(text.lower())


@cache
def _word_tokenizer() -> "NLTKWordTokenizer":
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer()


@cache
def _bleu() -> "BLEU":
    from sacrebleu.metrics import BLEU

    # Texts arrive as word tokens; force: it need not warn of tokenised text.
    return BLEU(effective_order=False, tokenize="none", smooth_method="none", force=True)
