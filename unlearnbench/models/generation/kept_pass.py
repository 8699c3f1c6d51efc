"""One pass through a network that keeps keys and values, with scores at chosen positions only."""

from typing import TYPE_CHECKING, Any

import torch

from unlearnbench.models.scoring import position_logits
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from torch import Tensor
    from transformers.cache_utils import Cache

    from unlearnbench.models.language_model import LanguageModel


def kept_pass(
    model: "LanguageModel", input_ids: "Tensor", positions: "Tensor", cache: "Cache | None"
) -> "Tensor":
    """[N, V] next-token scores at the positions where `positions` [B, L] bool is true.

    `input_ids` [B, L] go behind what the cache holds, and into it.  Rows are padded on the
    right: nothing that a causal model reads stands there, so it needs no mask.
    """

    def network(input_ids: "Tensor", **_: Any) -> Any:
        return model.network(
            input_ids=input_ids, past_key_values=cache, use_cache=cache is not None
        )

    n_rows, width = input_ids.shape
    whole = torch.full((n_rows,), width)
    sequences = Sequences(input_ids, whole, whole, ("",) * n_rows)
    return position_logits(model, sequences, positions, network)
