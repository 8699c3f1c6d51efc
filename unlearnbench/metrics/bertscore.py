"""BERTScore from token vectors that are kept: bert-score's own parts, without its repetitions."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
from bert_score.utils import get_bert_embedding, greedy_cos_idf
from torch import Tensor

if TYPE_CHECKING:
    from bert_score import BERTScorer

_AT_ONCE = 64  # texts, as in bert-score
_KEPT_BYTES = 64 << 20

_Item = TypeVar("_Item")
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
        known = {text: self._kept[text] for text in texts if text in self._kept}
        # Neighbours in length share a batch, so that little of it is padding.
        unknown = sorted({text for text in texts if text not in known}, key=lambda t: (len(t), t))
        for some in _in_batches(unknown):
            known.update(zip(some, self._embedded(some), strict=True))
        return known

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


def _in_batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    return (items[first : first + _AT_ONCE] for first in range(0, len(items), _AT_ONCE))


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
