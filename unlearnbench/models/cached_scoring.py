"""Next-token scores of tokens that go behind what a cache holds."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnbench.models.scoring import (
    HeadOutputs,
    can_score_in_pieces,
    head_inputs,
    in_pieces,
    position_logits,
)
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

    from unlearnbench.models.language_model import LanguageModel


def cached_pass(
    model: "LanguageModel", input_ids: Tensor, positions: Tensor, cache: "Cache | None"
) -> Tensor:
    """[N, V] next-token scores at the positions where `positions` [B, L] bool is true.

    `input_ids` [B, L] go behind what the cache holds, and into it.  Rows are padded on the
    right: nothing that a causal model reads stands there, so it needs no mask.
    """
    return position_logits(model, _whole(input_ids), positions, _behind(model, cache))


def cached_outputs(
    model: "LanguageModel", input_ids: Tensor, positions: Tensor, cache: "Cache | None"
) -> HeadOutputs:
    """[N, V] as `cached_pass` gives them; the head is applied where and when somebody looks."""
    if not can_score_in_pieces(model):
        return HeadOutputs.whole(cached_pass(model, input_ids, positions, cache))
    read = head_inputs(model, _whole(input_ids), positions, _behind(model, cache))
    return in_pieces(model, read)


def _whole(input_ids: Tensor) -> Sequences:
    """Rows of which every column counts."""
    n_rows, width = input_ids.shape
    lengths = torch.full((n_rows,), width)
    return Sequences(input_ids, lengths, lengths, ("",) * n_rows)


def _behind(model: "LanguageModel", cache: "Cache | None") -> Callable[..., Any]:
    """The model's network, which reads on from what the cache holds."""

    def network(input_ids: Tensor, **_: Any) -> Any:
        return model.network(
            input_ids=input_ids, past_key_values=cache, use_cache=cache is not None
        )

    return network
