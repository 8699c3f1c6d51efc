"""Greedy continuations that branch off one teacher-forced pass and share its cache."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import (
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

from unlearnbench.errors import UserError
from unlearnbench.models.generation.branch import Branch, Prefill, Watch, best_tokens
from unlearnbench.models.generation.lockstep import Lockstep
from unlearnbench.models.generation.room import Room
from unlearnbench.models.gpt_neo import reads_shared_columns

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

# What the branches of one chunk, or the logits of one prefill, may take on a CPU.
_MEMORY_BYTES = 256 * 2**20


def prefill_batches(
    model: "LanguageModel", input_ids: Tensor, batch_size: int
) -> Iterator[tuple[range, Prefill]]:
    """Teacher-forced passes over [N, L] right-padded rows, with the rows of each.

    Padding needs no mask: it stands to the right of everything a causal model reads.
    Raises `UserError` for a network whose memory is not keys and values per token.
    """
    check_cache(model)
    n_rows, width = input_ids.shape
    logits_bytes = 4 * width * model.network.config.get_text_config().vocab_size
    step = max(1, min(batch_size, _room_bytes(model) // logits_bytes))
    for first in range(0, n_rows, step):
        batch = range(first, min(first + step, n_rows))
        yield batch, _prefill(model, input_ids[batch.start : batch.stop])


@torch.inference_mode()
def _prefill(model: "LanguageModel", input_ids: Tensor) -> Prefill:
    # Built without the configuration, so that sliding layers keep every column as well:
    # branches start anywhere, and the window is applied by the mask.
    cache = DynamicCache()
    output = model.network(
        input_ids=input_ids.to(model.device), past_key_values=cache, use_cache=True
    )
    predicted = best_tokens(output.logits)
    nothing = torch.full((len(predicted), 1), -1)
    return Prefill(torch.cat([nothing, predicted], dim=1), cache)


def check_cache(model: "LanguageModel") -> None:
    layers = DynamicCache(config=model.network.config).layers
    if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        raise UserError(
            f"{model.source.name} keeps more than keys and values per token, which shared "
            "continuations cannot branch from; use an attention-only model, e.g. --model neo-125m"
        )


def decode_branches(
    model: "LanguageModel",
    prefill: Prefill,
    branches: Sequence[Branch],
    batch_size: int = 32,
    watch: Watch | None = None,
) -> list[list[int]]:
    """Each branch's tokens from its start on: greedy, up to its end, an end of sequence included.

    A branch that `watch` calls settled ends early.  Memory is bounded: at least
    `batch_size` branches go together, and as many as fit in 256 MiB (on a GPU: what is free).
    """
    tokens: list[list[int]] = [[] for _ in branches]
    shares = reads_shared_columns(model.network)
    for chunk, n_shared in _chunks(model, prefill, branches, batch_size, shares):
        found = Lockstep(model, prefill, branches, chunk, watch, n_shared).run()
        for b, ids in zip(chunk, found, strict=True):
            tokens[b] = ids
    model.meter.count_generated(sum(map(len, tokens)))
    return tokens


def _chunks(
    model: "LanguageModel",
    prefill: Prefill,
    branches: Sequence[Branch],
    batch_size: int,
    shares_columns: bool,
) -> Iterator[tuple[list[int], int]]:
    """Indices of branches that go together, by start, and how many columns stay with the rows."""
    order = sorted(range(len(branches)), key=lambda b: branches[b].start)
    width, room = max((b.end for b in branches), default=1), _room_bytes(model)
    while order:
        start = branches[order[0]].start
        # Reading columns in two places has its own cost: it pays where there are many of them,
        # and several branches to a row.
        are_many = 4 * start >= width and len(branches) >= 2 * len(prefill.predicted)
        n_shared = start if shares_columns and are_many else 0
        size = max(batch_size, room // _bytes_per_branch(model, prefill, width - n_shared))
        yield order[:size], n_shared
        order = order[size:]


def _room_bytes(model: "LanguageModel") -> int:
    if model.device.type == "cuda":
        return max(_MEMORY_BYTES, Room.of(model, 1).kept_bytes)
    return _MEMORY_BYTES


def _bytes_per_branch(model: "LanguageModel", prefill: Prefill, n_columns: int) -> int:
    layers: list[Any] = prefill.cache.layers
    per_column = sum(
        2 * layer.keys[0, :, :1].numel() * layer.keys.element_size() for layer in layers
    )
    return int(per_column * n_columns) + 4 * model.network.config.get_text_config().vocab_size
