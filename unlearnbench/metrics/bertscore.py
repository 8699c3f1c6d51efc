"""BERTScore from token vectors that are kept: bert-score's own parts, without its repetitions."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from bert_score.utils import get_bert_embedding, greedy_cos_idf
from torch import Tensor

from unlearnbench.errors import UserError
from unlearnbench.metrics.bertscore_model import NO_BERT, bert_folder, bert_layers
from unlearnbench.models.quiet import quiet_transformers

if TYPE_CHECKING:
    from bert_score import BERTScorer

_AT_ONCE = 64  # texts, as in bert-score
_KEPT_BYTES = 64 << 20
_MAX_SCORED = 8192  # pairs whose BERTScore is remembered

Pair = tuple[str, str]  # candidate and reference

Vectors = tuple[Tensor, Tensor]  # [L, d] of a text's tokens, [L] their weights


class TokenVectors:
    """A text's token vectors by a scorer's BERT; those of references are kept, up to 64 MiB."""

    def __init__(self, scorer: "BERTScorer") -> None:
        self.scorer = scorer
        self._kept: dict[str, Vectors] = {}
        self._n_bytes = 0
        # No idf weights: every token counts, but for the two that BERT puts around a text.
        tokenizer = scorer._tokenizer
        self._weights: defaultdict[int, float] = defaultdict(lambda: 1.0)
        self._weights.update({tokenizer.sep_token_id: 0.0, tokenizer.cls_token_id: 0.0})

    @torch.no_grad()
    def f1(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """One F1 per pair of a candidate and a reference, neither of which is empty."""
        vectors = self._vectors([text for pair in pairs for text in pair])
        for _, reference in pairs:
            self._keep(reference, vectors[reference])
        return [
            float(greedy_cos_idf(*_alone(vectors[reference]), *_alone(vectors[candidate]))[2])
            for candidate, reference in pairs
        ]

    def _vectors(self, texts: Sequence[str]) -> dict[str, Vectors]:
        vectors = {text: self._kept[text] for text in texts if text in self._kept}
        # Neighbours in length share a batch, so that little of it is padding.
        new = sorted(set(texts) - vectors.keys(), key=lambda text: (len(text), text))
        for first in range(0, len(new), _AT_ONCE):
            batch = new[first : first + _AT_ONCE]
            vectors.update(zip(batch, self._embedded(batch), strict=True))
        return vectors

    def _embedded(self, texts: Sequence[str]) -> Iterator[Vectors]:
        scorer = self.scorer
        vectors, mask, weights = get_bert_embedding(
            list(texts), scorer._model, scorer._tokenizer, self._weights, device=scorer.device
        )
        for row, n_tokens in enumerate(mask.sum(1).tolist()):
            # A copy: a view would keep the whole batch.
            yield vectors[row, :n_tokens].clone(), weights[row, :n_tokens].clone()

    def _keep(self, text: str, vectors: Vectors) -> None:
        if text in self._kept:
            return
        self._kept[text] = vectors
        self._n_bytes += _n_bytes(vectors)
        while self._n_bytes > _KEPT_BYTES:
            self._n_bytes -= _n_bytes(self._kept.pop(next(iter(self._kept))))


def _n_bytes(vectors: Vectors) -> int:
    return sum(part.numel() * part.element_size() for part in vectors)


def _alone(text: Vectors) -> tuple[Tensor, Tensor, Tensor]:
    """[1, L, d] vectors, [1, L] bool where there is a token, [1, L] weights.

    Pair by pair: among other texts a text is padded, padding is like every token by a cosine of
    0, and where a token's cosines are all negative bert-score takes that for its best.
    """
    vectors, weights = text
    # A copy: bert-score divides vectors by their lengths where they are.
    return vectors[None].clone(), torch.ones_like(weights, dtype=torch.bool)[None], weights[None]


class BertScore:
    """BERTScore F1 (Zhang et al. 2020) without idf weights and without rescaling.

    `model` is a hub id, a folder or a world; None is bert-base-uncased, read at
    layer 9.  Weights are loaded once in a process, at the first text that needs them.
    """

    def __init__(
        self, model: str | None = None, num_layers: int | None = None, device: str | None = None
    ) -> None:
        self.model, self.num_layers, self.device = model, num_layers, device
        self.forget()

    def forget(self) -> None:
        """Remember no text and no pair; the network stays loaded."""
        self._vectors: TokenVectors | None = None
        self._scored: dict[Pair, float] = {}

    def f1(self, candidates: Sequence[str], references: Sequence[str]) -> list[float]:
        """One F1 per pair, at most 1; 0 where a text is empty; NaN without a BERT ('off').

        A pair that was scored before is not scored again.  Raises `UserError` where the weights
        cannot be had.
        """
        pairs = list(zip(candidates, references, strict=True))
        if self.model == NO_BERT:
            return [math.nan] * len(pairs)
        # bert-score fails on an empty text with transformers 5
        scored = {
            pair: self._scored.get(pair) for pair in pairs if pair[0].strip() and pair[1].strip()
        }
        if new := [pair for pair, value in scored.items() if value is None]:
            if self._vectors is None:
                self._vectors = TokenVectors(self.scorer)
            scored.update(zip(new, self._vectors.f1(new), strict=True))
        f1 = {pair: value for pair, value in scored.items() if value is not None}
        self._scored.update(f1)
        while len(self._scored) > _MAX_SCORED:
            del self._scored[next(iter(self._scored))]
        return [f1.get(pair, 0.0) for pair in pairs]

    @property
    def scorer(self) -> "BERTScorer":
        """The library's scorer, loaded."""
        return _load(self.model, self.num_layers, self.device)


@lru_cache(maxsize=2)
def _load(model: str | None, num_layers: int | None, device: str | None) -> "BERTScorer":
    from bert_score import BERTScorer

    folder = bert_folder(model)
    layers = num_layers or bert_layers(model, folder)
    try:
        # Weights the file lacks (a pooler) are drawn at random: not from the run's generator.
        with torch.random.fork_rng(), quiet_transformers():
            scorer = BERTScorer(model_type=str(folder), num_layers=layers, device=device)
    except (OSError, ValueError, AssertionError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"BERTScore cannot use the BERT in {folder}: {first}; give another: --bert DIR"
        ) from error
    # A tokenizer that knows no limit says 10^30, which overflows; the network knows.
    positions = int(getattr(scorer._model.config, "max_position_embeddings", 512))
    tokenizer: Any = scorer._tokenizer
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return scorer
