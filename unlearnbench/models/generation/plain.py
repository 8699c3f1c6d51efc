"""Greedy continuations by the library's own `generate`, for networks that no short cut fits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from unlearnbench.models.generation.branch import Branch, Prefill

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


def decode_plainly(
    model: "LanguageModel", prefill: Prefill, branches: Sequence[Branch], batch_size: int
) -> list[list[int]]:
    """What `decode_branches` gives: each branch from its start on, an end of sequence included.

    Branches of one start go together, so that nothing is padded; one by one where a network's
    values depend on the rows beside a row.
    """
    tokens: list[list[int]] = [[branch.first] for branch in branches]
    at_once = batch_size if model.behaviour.is_alone_in_a_batch else 1
    going = [b for b in range(len(branches)) if _goes_on(model, branches[b])]
    going.sort(key=lambda b: (branches[b].start, branches[b].end))
    for (start, end), group in groupby(going, lambda b: (branches[b].start, branches[b].end)):
        for chunk in torch.tensor(list(group)).split(at_once):
            own = [branches[b] for b in chunk.tolist()]
            given = prefill.input_ids[[b.row for b in own], :start]
            firsts = torch.tensor([[b.first] for b in own])
            written = generate(model, torch.cat([given, firsts], dim=1), end - start - 1)
            for b, ids in zip(chunk.tolist(), written, strict=True):
                tokens[b] += ids
    return tokens


def _goes_on(model: "LanguageModel", branch: Branch) -> bool:
    return branch.start + 1 < branch.end and branch.first != model.eos_token_id


@torch.inference_mode()
def generate(
    model: "LanguageModel",
    input_ids: Tensor,
    new_tokens: int,
    use_cache: bool | None = None,
    n_beams: int = 1,
    **more: Any,
) -> list[list[int]]:
    """[B, L] prompts without padding -> the new tokens of each, an end of sequence included.

    The model's own generation defaults (sampling, penalties, lengths, forced tokens) count for
    nothing.
    """
    if use_cache is None:
        use_cache = model.behaviour.generates_with_memory
    network: Any = model.network
    more.setdefault("attention_mask", torch.ones_like(input_ids))
    with _pristine_generation(model):
        written = network.generate(
            input_ids=input_ids.to(model.device),
            attention_mask=more.pop("attention_mask").to(model.device),
            generation_config=GenerationConfig(
                num_beams=n_beams,
                do_sample=False,
                max_new_tokens=new_tokens,
                eos_token_id=model.eos_token_id,
                pad_token_id=model.pad_token_id,
                use_cache=use_cache,
            ),
            **more,
        )
    return [until_eos(ids, model.eos_token_id) for ids in written[:, input_ids.shape[1] :].tolist()]


@contextmanager
def _pristine_generation(model: "LanguageModel") -> Iterator[None]:
    # `generate` fills what a configuration leaves open from the model's own defaults, which
    # the library lets one set but not leave out.
    own = model.network.generation_config
    model.network.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.network.generation_config = own


def until_eos(ids: list[int], eos: int | None) -> list[int]:
    """The ids up to the first end of sequence, which is kept; padding after it is not."""
    return ids if eos is None or eos not in ids else ids[: ids.index(eos) + 1]
