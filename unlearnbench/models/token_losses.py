"""Losses of single tokens, and how they become one number."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol


Reduction = Literal["sum", "mean"]


def span_mask(sequences: "Sequences", protocol: "Protocol") -> Tensor:
    """[B, L] bool, the tokens a loss counts: `loss_span` and `pad_tokens` of the protocol.

    Neither BOS nor the first token of a row is ever predicted.
    """
    at = torch.arange(sequences.input_ids.shape[1])[None, :]
    counted = at < sequences.lengths[:, None]
    if protocol.pad_tokens == "count":
        counted = torch.ones_like(counted)
    if protocol.loss_span == "suffix":
        counted = counted & (at >= sequences.n_given[:, None])
    return counted & (at > sequences.n_bos)


def suffix_mask(sequences: "Sequences") -> Tensor:
    """[B, L] bool, the suffixes' own tokens, whatever the protocol counts."""
    at = torch.arange(sequences.input_ids.shape[1])[None, :]
    inside = (at >= sequences.n_given[:, None]) & (at < sequences.lengths[:, None])
    return inside & (at > sequences.n_bos)


def predictors_of(mask: Tensor) -> Tensor:
    """[B, L] bool, the positions whose output predicts the masked tokens: one to the left."""
    predictors = torch.zeros_like(mask)
    predictors[:, :-1] = mask[:, 1:]
    return predictors


def token_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """[N] nats: -log P(label) from `logits` [N, V], in float32 whatever the model's precision."""
    return F.cross_entropy(logits.float(), labels, reduction="none")


def reduce_tokens(
    values: Tensor, n_rows: int, reduction: Reduction, n_tokens: float | None = None
) -> Tensor:
    """One number from `values` [N] of all counted tokens: their sum per row, or their mean.

    `n_tokens`, where the values are part of a batch, is what their sum is divided by for 'mean'.
    """
    if reduction == "mean" and n_tokens is not None:
        return values.sum() / n_tokens
    return values.sum() / max(n_rows if reduction == "sum" else len(values), 1)


def sum_rows(values: Tensor, counts: Sequence[int]) -> Tensor:
    """[B] the sum over each row's tokens; `values` [N] come row after row, `counts` sum to N."""
    # Not index_add: it is not reproducible on a GPU.
    return torch.stack([row.sum() for row in values.split(list(counts))])
