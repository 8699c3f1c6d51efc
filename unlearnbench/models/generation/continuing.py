"""The continuations that BERTScore, BLEU, entropy and the judge read: greedy or 2-beam."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import Cache, DynamicCache

from unlearnbench.errors import UserError
from unlearnbench.models.generation.branches import Prefill, continue_rows
from unlearnbench.models.generation.plain import generate

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
    if prefill.cache is None:
        # A state need not follow when beams change places (RWKV's does not), nor know of padding.
        written = [
            generate(model, ids[None], new_tokens, n_beams=2, use_cache=False)[0] for ids in prompts
        ]
    else:
        prompt = _left_padded(prompts, model.pad_token_id)
        mask = _left_padded([torch.ones_like(ids) for ids in prompts], 0)
        # Padding moves the columns, and what is kept would be in others.
        cache = _of_prompt(prefill.cache, prompt.shape[1]) if mask.all() else None
        written = generate(model, prompt, new_tokens, mask, n_beams=2, cache=cache)
    model.meter.count_generated(sum(map(len, written)))
    return written


def _left_padded(rows: list[Tensor], padding: int) -> Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=padding, padding_side="left")


def _of_prompt(kept: Cache, width: int) -> DynamicCache | None:
    """Keys and values of all but the prompt's last token, for two beams of each row."""
    if width < 2:
        return None
    cache = DynamicCache()
    layers: list[Any] = kept.layers
    for number, layer in enumerate(layers):
        keys, values = (
            states[:, :, : width - 1].repeat_interleave(2, dim=0)
            for states in (layer.keys, layer.values)
        )
        cache.update(keys, values, number)
    return cache
