"""Continuations by the library's own `generate`."""

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import GenerationConfig

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

    from unlearnbench.models.language_model import LanguageModel


@torch.inference_mode()
def generate(
    model: "LanguageModel",
    input_ids: Tensor,
    new_tokens: int,
    attention_mask: Tensor | None = None,
    n_beams: int = 1,
    use_cache: bool = True,
    cache: "Cache | None" = None,
) -> list[list[int]]:
    """The new tokens of each of [B, L] prompts, up to and with an end of sequence.

    The model's own generation defaults (sampling, penalties, lengths, forced tokens) count for
    nothing.
    """
    # `generate` fills what a configuration leaves open from the model's own defaults, which the
    # library lets one set but not leave out: here they are a copy's, with the same weights.
    network: Any = copy.copy(model.network)
    network.generation_config = GenerationConfig()
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    eos, width = model.eos_token_id, input_ids.shape[1]
    written = network.generate(
        input_ids=input_ids.to(model.device),
        attention_mask=mask.to(model.device),
        generation_config=GenerationConfig(
            num_beams=n_beams,
            do_sample=False,
            max_new_tokens=new_tokens,
            eos_token_id=eos,
            pad_token_id=model.pad_token_id,
            use_cache=use_cache,
        ),
        **({} if cache is None else {"past_key_values": cache}),
    )
    new: list[list[int]] = written[:, width:].tolist()
    # Padding may stand behind an end of sequence.
    return [ids if eos not in ids else ids[: ids.index(eos) + 1] for ids in new]
