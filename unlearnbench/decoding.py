"""The continuations that BERTScore, BLEU, entropy and the judge read: greedy or 2-beam."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from unlearnbench.branches import Branch, decode_branches, prefill_batches
from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.model import LanguageModel
    from unlearnbench.protocol import Protocol
    from unlearnbench.sequences import Sequences


def continue_rows(
    model: "LanguageModel",
    rows: "Sequences",
    protocol: "Protocol",
    new_tokens: int = 50,
    batch_size: int = 32,
) -> list[list[int]]:
    """Each row's continuation of its given tokens, at most `new_tokens` ids.

    An end of sequence ends it and is left out.  Greedy, or 2-beam search where the
    protocol says so.  The model's own generation defaults (sampling, penalties,
    lengths) are never used.
    Raises `UserError` where the network is too short or a row gives no token.
    """
    longest = int(rows.n_given.max()) + new_tokens
    if longest > model.max_length:
        raise UserError(
            f"{longest} tokens (given and new) do not fit the {model.max_length} of "
            f"{model.source.name}; use fewer given tokens or a model with a longer context"
        )
    if int(rows.n_given.min()) < 1:
        raise UserError("a row without given tokens cannot be continued; give at least one token")
    decode = _greedy if protocol.continuation == "greedy" else _beam
    continuations = decode(model, rows, new_tokens, batch_size)
    return [ids[:-1] if ids and ids[-1] == model.eos_token_id else ids for ids in continuations]


def _greedy(
    model: "LanguageModel", rows: "Sequences", new_tokens: int, batch_size: int
) -> list[list[int]]:
    given = rows.n_given.tolist()
    continuations: list[list[int]] = []
    for batch, prefill in prefill_batches(model, rows.input_ids[:, : max(given)], batch_size):
        branches = [
            Branch(i, given[r], int(prefill.predicted[i, given[r]]), given[r] + new_tokens)
            for i, r in enumerate(batch)
        ]
        continuations += decode_branches(model, prefill, branches, batch_size)
    return continuations


@torch.inference_mode()
def _beam(
    model: "LanguageModel", rows: "Sequences", new_tokens: int, batch_size: int
) -> list[list[int]]:
    continuations: list[list[int]] = []
    for first in range(0, len(rows), batch_size):
        batch = rows.select(range(first, min(first + batch_size, len(rows))))
        prompt, mask = _left_padded(batch, model.pad_token_id)
        with _pristine_generation(model):
            network: Any = model.network
            written = network.generate(
                input_ids=prompt.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=_two_beams(model, new_tokens),
            )
        continuations += [
            _until_eos(ids, model.eos_token_id) for ids in written[:, prompt.shape[1] :].tolist()
        ]
    model.meter.count_generated(sum(map(len, continuations)))
    return continuations


def _left_padded(rows: "Sequences", pad_token_id: int) -> tuple[Tensor, Tensor]:
    """[B, W] given tokens that all end in the last column, and their mask."""
    given = rows.n_given.tolist()
    prompt = torch.full((len(given), max(given)), pad_token_id)
    mask = torch.zeros_like(prompt)
    for i, n in enumerate(given):
        prompt[i, max(given) - n :] = rows.input_ids[i, :n]
        mask[i, max(given) - n :] = 1
    return prompt, mask


def _two_beams(model: "LanguageModel", new_tokens: int) -> GenerationConfig:
    return GenerationConfig(
        num_beams=2,
        do_sample=False,
        max_new_tokens=new_tokens,
        eos_token_id=model.eos_token_id,
        pad_token_id=model.pad_token_id,
    )


@contextmanager
def _pristine_generation(model: "LanguageModel") -> Iterator[None]:
    # `generate` fills what a configuration leaves open from the model's own defaults.
    own = model.network.generation_config
    model.network.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.network.generation_config = own


def _until_eos(ids: list[int], eos: int | None) -> list[int]:
    """The ids up to the first end of sequence, which is kept; padding after it is not."""
    return ids if eos is None or eos not in ids else ids[: ids.index(eos) + 1]
