"""The continuations that BERTScore, BLEU, entropy and the judge read: greedy or 2-beam."""

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig
from transformers.cache_utils import DynamicCache

from unlearnbench.errors import UserError
from unlearnbench.models.generation.branches import Prefill, continue_rows

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol


def check_continuable(model: "LanguageModel", rows: "Sequences", new_tokens: int) -> None:
    """Raises `UserError` where the network is too short or a row gives no token."""
    longest = int(rows.n_given.max()) + new_tokens
    if longest > model.max_length:
        raise UserError(
            f"{longest} tokens (given and new) do not fit the {model.max_length} of "
            f"{model.source.name}; use fewer given tokens or a model with a longer context"
        )
    if int(rows.n_given.min()) < 1:
        raise UserError("a row without given tokens cannot be continued; give at least one token")


def continue_prefilled(
    model: "LanguageModel",
    rows: "Sequences",
    prefill: Prefill,
    protocol: "Protocol",
    new_tokens: int = 50,
    batch_size: int = 32,
) -> list[list[int]]:
    """Each row's continuation of its given tokens, at most `new_tokens` ids.

    At least the given tokens have been through the network already.  An end of sequence ends a
    continuation and is left out.  Greedy, or 2-beam search where the protocol says so.  The
    model's own generation defaults (sampling, penalties, lengths) are never used.
    """
    if protocol.continuation == "greedy":
        written = continue_rows(model, prefill, rows.n_given.tolist(), new_tokens, batch_size)
    else:
        written = _beam(model, rows, prefill, new_tokens)
    return [ids[:-1] if ids[-1:] == [model.eos_token_id] else ids for ids in written]


@torch.inference_mode()
def _beam(
    model: "LanguageModel", rows: "Sequences", prefill: Prefill, new_tokens: int
) -> list[list[int]]:
    prompts = [ids[:n] for ids, n in zip(rows.input_ids, rows.n_given.tolist(), strict=True)]
    prompt = _left_padded(prompts, model.pad_token_id)
    mask = _left_padded([torch.ones_like(ids) for ids in prompts], 0)
    eos, width = model.eos_token_id, prompt.shape[1]
    # `generate` fills what a configuration leaves open from the model's own defaults, which
    # the library lets one set but not leave out: here they are a copy's, with the same weights.
    network: Any = copy.copy(model.network)
    network.generation_config = GenerationConfig()
    written = network.generate(
        input_ids=prompt.to(model.device),
        attention_mask=mask.to(model.device),
        # Padding moves the columns, and what is kept would be in others.
        past_key_values=_of_prompt(prefill, width) if mask.all() else None,
        generation_config=GenerationConfig(
            num_beams=2,
            do_sample=False,
            max_new_tokens=new_tokens,
            eos_token_id=eos,
            pad_token_id=model.pad_token_id,
        ),
    )
    # Up to the first end of sequence, which is kept; padding after it is not.
    continuations = [
        ids if eos is None or eos not in ids else ids[: ids.index(eos) + 1]
        for ids in written[:, width:].tolist()
    ]
    model.meter.count_generated(sum(map(len, continuations)))
    return continuations


def _left_padded(rows: list[Tensor], padding: int) -> Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=padding, padding_side="left")


def _of_prompt(prefill: Prefill, width: int) -> DynamicCache | None:
    """Keys and values of all but the prompt's last token, for two beams of each row."""
    if width < 2:
        return None
    cache = DynamicCache()
    layers: list[Any] = prefill.cache.layers
    for number, layer in enumerate(layers):
        keys, values = (
            states[:, :, : width - 1].repeat_interleave(2, dim=0)
            for states in (layer.keys, layer.values)
        )
        cache.update(keys, values, number)
    return cache
