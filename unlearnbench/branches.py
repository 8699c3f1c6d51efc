"""Greedy continuations that branch off one teacher-forced pass and share its cache."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

import torch
from torch import Tensor
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

from unlearnbench.errors import UserError
from unlearnbench.pass_size import Room

if TYPE_CHECKING:
    from unlearnbench.model import LanguageModel

# What the branches of one chunk, or the logits of one prefill, may take on a CPU.
_MEMORY_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Prefill:
    """One teacher-forced pass over right-padded rows."""

    predicted: Tensor  # [B, L+1] int64, CPU; column c: argmax P(. | x_<c), column 0: -1
    cache: Cache  # keys and values of every column


@dataclass(frozen=True)
class Branch:
    """A continuation that leaves its row at column `start` with the token `first`."""

    row: int
    start: int
    first: int
    end: int  # the first column it must not fill


class Watch(Interface):
    """Looks at each new token and says which branches need no more of them."""

    def settled(self, branches: Tensor, column: int | Tensor, tokens: Tensor) -> Tensor:
        """[k] bool for the branches with these indices, which just got `tokens` at `column`."""
        ...


class _BranchLayer(CacheLayerMixin):
    """Preallocated keys and values of many branches, all at the same column.

    Because every branch stands at the same absolute column, the library's own
    positions, causal mask and sliding windows are right without a mask of ours.
    """

    is_sliding = False

    def __init__(self, source: Any, rows: Tensor, known: int, width: int) -> None:
        super().__init__()
        self.keys: Tensor
        self.values: Tensor
        self.keys = _spread(source.keys, rows, known, width)
        self.values = _spread(source.values, rows, known, width)
        self.column = 0
        self.is_initialized = True

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002 - the library's signature
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        n_branches, column = key_states.shape[0], self.column
        self.keys[:n_branches, :, column] = key_states[:, :, 0]
        self.values[:n_branches, :, column] = value_states[:, :, 0]
        known = slice(column + 1)
        return self.keys[:n_branches, :, known], self.values[:n_branches, :, known]

    def keep(self, slots: Tensor, known: int) -> None:
        # In place: pages that are already there cost less than new ones.
        n_kept = len(slots)
        for states in (self.keys, self.values):
            states[:n_kept, :, :known] = states[slots, :, :known]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: everything was allocated at the start."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.column + query_length, 0

    def get_seq_length(self) -> int:
        return self.column

    def get_max_length(self) -> int:
        return -1


def _spread(states: Tensor, rows: Tensor, known: int, width: int) -> Tensor:
    """[k, H, width, D] whose first `known` columns are those of the given rows, the rest unset."""
    spread = states.new_empty(len(rows), states.shape[1], width, states.shape[3])
    spread[:, :, :known] = states[rows, :, :known]
    return spread


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
    predicted = _argmax(output.logits)
    nothing = torch.full((len(predicted), 1), -1)
    return Prefill(torch.cat([nothing, predicted], dim=1), cache)


def _argmax(logits: Tensor) -> Tensor:
    """The best token on the CPU, the first of equal ones."""
    if logits.device.type == "cpu":
        # numpy's is vectorised, and was 8 times as fast as torch's on a vocabulary of 2,500.
        return torch.from_numpy(logits.float().numpy().argmax(-1))
    return logits.argmax(-1).cpu()


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
    order = sorted(range(len(branches)), key=lambda b: branches[b].start)
    size = max(batch_size, _room_bytes(model) // _bytes_per_branch(model, prefill, branches))
    for first in range(0, len(order), size):
        chunk = order[first : first + size]
        found = _Lockstep(model, prefill, branches, chunk, watch).run()
        for b, ids in zip(chunk, found, strict=True):
            tokens[b] = ids
    model.meter.count_generated(sum(map(len, tokens)))
    return tokens


def _room_bytes(model: "LanguageModel") -> int:
    if model.device.type == "cuda":
        return Room.of(model, 1).kept_bytes
    return _MEMORY_BYTES


def _bytes_per_branch(model: "LanguageModel", prefill: Prefill, branches: Sequence[Branch]) -> int:
    width = max((b.end for b in branches), default=1)
    layers: list[Any] = prefill.cache.layers
    cached = sum(
        2 * layer.keys[0, :, :1].numel() * layer.keys.element_size() * width for layer in layers
    )
    return int(cached) + 4 * model.network.config.get_text_config().vocab_size


class _Lockstep:
    """Decodes one chunk of branches, all at the same column at a time."""

    def __init__(
        self,
        model: "LanguageModel",
        prefill: Prefill,
        branches: Sequence[Branch],
        chunk: Sequence[int],  # indices into branches, by ascending start
        watch: Watch | None,
    ) -> None:
        self.model, self.watch = model, watch
        own = [branches[b] for b in chunk]
        self.chunk = torch.tensor(chunk)
        self.starts = torch.tensor([b.start for b in own])
        self.ends = torch.tensor([b.end for b in own])
        self.stops = self.starts.clone()
        self.done = torch.zeros(len(own), dtype=torch.bool)
        self.tokens = torch.full((len(own), int(self.ends.max())), -1)
        eos = model.eos_token_id
        self.eos = -1 if eos is None else eos
        self._write(self.starts, torch.arange(len(own)), torch.tensor([b.first for b in own]))
        # Which branch of the chunk each slot of the cache holds.
        self.slots = (~self.done).nonzero()[:, 0]
        rows = torch.tensor([b.row for b in own])[self.slots].to(model.device)
        known, width = int(self.starts[-1]), int(self.ends.max())
        self.layers = [_BranchLayer(layer, rows, known, width) for layer in prefill.cache.layers]

    def run(self) -> list[list[int]]:
        """The tokens of the chunk's branches, in the chunk's order."""
        for column in range(int(self.starts[0]), int(self.ends.max()) - 1):
            self._drop_finished(column)
            # Slots are in order of start, so those under way come first.
            n_active = int((self.starts[self.slots] <= column).sum())
            if n_active and not self.done[self.slots[:n_active]].all():
                self._step(column, self.slots[:n_active])
        tokens = self.tokens.tolist()
        spans = zip(tokens, self.starts.tolist(), self.stops.tolist(), strict=True)
        return [ids[start:stop] for ids, start, stop in spans]

    @torch.inference_mode()
    def _step(self, column: int, active: Tensor) -> None:
        for layer in self.layers:
            layer.column = column
        fed = self.tokens[active, column].clamp_min(0)[:, None].to(self.model.device)
        cache = Cache(layers=list(self.layers))
        logits = self.model.network(input_ids=fed, past_key_values=cache, use_cache=True).logits
        going = ~self.done[active]
        self._write(column + 1, active[going], _argmax(logits[:, -1])[going])

    def _write(self, column: int | Tensor, active: Tensor, found: Tensor) -> None:
        self.tokens[active, column] = found
        self.stops[active] = column + 1
        self.done[active] = (found == self.eos) | (self.ends[active] == column + 1)
        if self.watch is not None:
            self.done[active] |= self.watch.settled(self.chunk[active], column, found)

    def _drop_finished(self, column: int) -> None:
        # Dropping copies the cache, so it waits until a quarter is finished.
        going = ~self.done[self.slots]
        if int(going.sum()) > 0.75 * len(self.slots):
            return
        kept = going.nonzero()[:, 0].to(self.model.device)
        # Branches that have not started yet need their row's columns up to their start.
        known = max(column, int(self.starts[-1]))
        for layer in self.layers:
            layer.keep(kept, known)
        self.slots = self.slots[going]
