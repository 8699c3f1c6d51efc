"""Continuations that branch off one teacher-forced pass and share its cache: greedy, or chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

import torch
from torch import Tensor
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DynamicCache,
)

from unlearnbench.models.generation.behaviour import behaviour_of
from unlearnbench.models.generation.plain import generate
from unlearnbench.models.generation.room import Room
from unlearnbench.models.gpt_neo import Places, SharedColumns, SharingCache, reads_shared_columns

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

# What the branches of one chunk, or the logits of one prefill, may take on a CPU.
_MEMORY_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Prefill:
    """One teacher-forced pass over right-padded rows."""

    input_ids: Tensor  # [B, L] int64
    predicted: Tensor  # [B, L+1] int64, CPU; column c: argmax P(. | x_<c), column 0: -1
    cache: Cache | None  # keys and values of every column; None where a network keeps none

    @property
    def layers(self) -> list[Any]:
        """Of the cache."""
        return list(self.cache.layers) if self.cache is not None else []


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


class Choice(Interface):
    """Takes each branch's next token, where it is not to be the best one."""

    def tokens(self, branches: Tensor, column: int, logits: Tensor) -> Tensor:
        """[k] on the CPU: what these branches get at `column`, from its scores [k, V].

        What a branch gets that is over already counts for nothing.
        """
        ...


def prefill_batches(
    model: "LanguageModel", input_ids: Tensor, batch_size: int
) -> Iterator[tuple[range, Prefill]]:
    """Teacher-forced passes over [N, L] right-padded rows, with the rows of each.

    Padding needs no mask: it stands to the right of everything a causal model reads.
    """
    n_rows, width = input_ids.shape
    logits_bytes = 4 * width * model.network.config.get_text_config().vocab_size
    step = max(1, min(batch_size, _room_bytes(model) // logits_bytes))
    for first in range(0, n_rows, step):
        batch = range(first, min(first + step, n_rows))
        yield batch, _prefill(model, input_ids[batch.start : batch.stop])


@torch.inference_mode()
def _prefill(model: "LanguageModel", input_ids: Tensor) -> Prefill:
    cache = new_cache(model)
    output = model.network(
        input_ids=input_ids.to(model.device),
        past_key_values=cache,
        use_cache=cache is not None,
    )
    predicted = best_tokens(output.logits)
    nothing = torch.full((len(predicted), 1), -1)
    return Prefill(input_ids, torch.cat([nothing, predicted], dim=1), cache)


def new_cache(model: "LanguageModel") -> DynamicCache | None:
    """An empty memory that continuations can branch from; None where the network fits none."""
    # Built without the configuration, so that sliding layers keep every column as well:
    # branches start anywhere, and the window is applied by the mask.
    return DynamicCache() if behaviour_of(model).keeps_columns else None


def best_tokens(logits: Tensor) -> Tensor:
    """The best token on the CPU, the first of equal ones."""
    if logits.device.type == "cpu":
        # numpy's is vectorised, and was 8 times as fast as torch's on a vocabulary of 2,500.
        return torch.from_numpy(logits.float().numpy().argmax(-1))
    return logits.argmax(-1).cpu()


def decode_branches(
    model: "LanguageModel",
    prefill: Prefill,
    branches: Sequence[Branch],
    batch_size: int = 32,
    watch: Watch | None = None,
    choice: Choice | None = None,
) -> list[list[int]]:
    """Each branch's tokens from its start on, up to its end, an end of sequence included.

    Greedy, unless there is a `choice`.  A branch that `watch` calls settled ends early.  Memory is
    bounded: at least `batch_size` branches go together, and as many as fit in 256 MiB (on a GPU:
    what is free).  Where the network keeps no columns, the library's `generate` writes them all.
    """
    if prefill.cache is None:
        return _decode_plainly(model, prefill, branches, batch_size, choice)
    tokens: list[list[int]] = [[] for _ in branches]
    shares, n_done = reads_shared_columns(model.network), 0
    for chunk, n_shared in _chunks(model, prefill, branches, batch_size, shares):
        decoded = Lockstep(model, prefill, branches, chunk, watch, n_shared, choice).run()
        for b, ids in zip(chunk, decoded, strict=True):
            tokens[b] = ids
        n_done += len(chunk)
        model.meter.advance(n_done, len(branches))
    model.meter.count_generated(sum(map(len, tokens)))
    return tokens


def _decode_plainly(
    model: "LanguageModel",
    prefill: Prefill,
    branches: Sequence[Branch],
    batch_size: int,
    choice: Choice | None,
) -> list[list[int]]:
    """Branches that start and end at one column go together, so that nothing is padded."""
    tokens = [[branch.first] for branch in branches]
    use_cache = behaviour_of(model).generates_with_cache
    alike: dict[tuple[int, int], list[int]] = {}
    for b, branch in enumerate(branches):
        if branch.start + 1 < branch.end and branch.first != model.eos_token_id:
            alike.setdefault((branch.start, branch.end), []).append(b)
    for (start, end), members in alike.items():
        for chunk in torch.tensor(members).split(batch_size):
            prefixes = prefill.input_ids[[branches[b].row for b in chunk], :start]
            firsts = torch.tensor([[branches[b].first] for b in chunk])
            prompts = torch.cat([prefixes.cpu(), firsts], dim=1)
            choose = None if choice is None else partial(choice.tokens, chunk)
            n_new = end - start - 1
            written = generate(model, prompts, n_new, use_cache=use_cache, choose=choose)
            for b, ids in zip(chunk.tolist(), written, strict=True):
                tokens[b] += ids
    model.meter.count_generated(sum(map(len, tokens)))
    return tokens


def continue_rows(
    model: "LanguageModel",
    prefill: Prefill,
    starts: Sequence[int],
    new_tokens: int,
    batch_size: int = 32,
    watch: Watch | None = None,
) -> list[list[int]]:
    """What follows the first `starts` tokens of each row, at most `new_tokens`."""
    branches = [
        Branch(row, start, int(prefill.predicted[row, start]), start + new_tokens)
        for row, start in enumerate(starts)
    ]
    return decode_branches(model, prefill, branches, batch_size, watch)


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
    per_column = sum(
        2 * layer.keys[0, :, :1].numel() * layer.keys.element_size() for layer in prefill.layers
    )
    return int(per_column * n_columns) + 4 * model.network.config.get_text_config().vocab_size


class ColumnLayer(CacheLayerMixin):
    """Keys and values of rows that all stand at the same absolute column.

    The library's own positions, causal mask and sliding windows are then right without a mask
    of ours.
    """

    is_sliding = False

    def __init__(self, column: int) -> None:
        super().__init__()
        self.column = column
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: what is there was given at the start."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.column + query_length, 0

    def get_seq_length(self) -> int:
        return self.column

    def get_max_length(self) -> int:
        return -1


class _BranchLayer(ColumnLayer):
    """Preallocated keys and values of many branches.

    The first columns are left with the rows, where the network can read them there.
    """

    def __init__(self, source: Any, rows: Tensor, columns: range, n_shared: int) -> None:
        """`columns` up to which the rows are filled, and of which there is room at all."""
        super().__init__(column=0)
        self.n_shared = n_shared
        self._rows_keys, self._rows_values = source.keys, source.values
        self.keys: Tensor = _spread(source.keys, rows, columns, n_shared)
        self.values: Tensor = _spread(source.values, rows, columns, n_shared)

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002 - the library's signature
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        n_branches, column = key_states.shape[0], self.column - self.n_shared
        self.keys[:n_branches, :, column] = key_states[:, :, 0]
        self.values[:n_branches, :, column] = value_states[:, :, 0]
        written = slice(column + 1)
        return self.keys[:n_branches, :, written], self.values[:n_branches, :, written]

    def shared(self, places: Places) -> SharedColumns:
        """The columns that are left with the rows, for branches at these places."""
        first = slice(self.n_shared)
        return SharedColumns(self._rows_keys[:, :, first], self._rows_values[:, :, first], places)

    def keep(self, slots: Tensor, n_columns: int) -> None:
        # In place: pages that are already there cost less than new ones.
        n_kept, own = len(slots), n_columns - self.n_shared
        for states in (self.keys, self.values):
            states[:n_kept, :, :own] = states[slots, :, :own]


def _spread(states: Tensor, rows: Tensor, columns: range, n_shared: int) -> Tensor:
    """[k, H, W, D] from column `n_shared` on: those of these rows, where they are filled."""
    width = columns.stop - n_shared
    spread = states.new_empty(len(rows), states.shape[1], width, states.shape[3])
    spread[:, :, : columns.start - n_shared] = states[rows, :, n_shared : columns.start]
    return spread


class Lockstep:
    """Decodes one chunk of branches: each step gives all of them the token of one column."""

    def __init__(
        self,
        model: "LanguageModel",
        prefill: Prefill,
        branches: Sequence[Branch],
        chunk: Sequence[int],  # indices into branches, by ascending start
        watch: Watch | None,
        n_shared: int,  # first columns that the network can read where the rows have them
        choice: Choice | None = None,
    ) -> None:
        self.model, self.watch, self.choice = model, watch, choice
        own = [branches[b] for b in chunk]
        self.chunk = torch.tensor(chunk)
        self.starts = torch.tensor([b.start for b in own])
        self.ends = torch.tensor([b.end for b in own])
        self.rows = torch.tensor([b.row for b in own])
        self.stops = self.starts.clone()
        self.done = torch.zeros(len(own), dtype=torch.bool)
        self.tokens = torch.full((len(own), int(self.ends.max())), -1)
        eos = model.eos_token_id
        self.eos = -1 if eos is None else eos
        self._write(self.starts, torch.arange(len(own)), torch.tensor([b.first for b in own]))
        # Which branch of the chunk each slot of the cache holds.
        self.slots = (~self.done).nonzero()[:, 0]
        rows = self.rows[self.slots].to(model.device)
        columns = range(int(self.starts[-1]), int(self.ends.max()))
        self.n_rows = len(prefill.predicted)
        self.places = Places.of(rows, self.n_rows) if n_shared else None
        self.layers = [_BranchLayer(layer, rows, columns, n_shared) for layer in prefill.layers]

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
        cache = self._cache(len(active))
        logits = self.model.network(input_ids=fed, past_key_values=cache, use_cache=True).logits
        going = ~self.done[active]
        self._write(column + 1, active[going], self._next(active, column + 1, logits[:, -1])[going])

    def _next(self, active: Tensor, column: int, logits: Tensor) -> Tensor:
        if self.choice is None:
            return best_tokens(logits)
        return self.choice.tokens(self.chunk[active], column, logits)

    def _cache(self, n_active: int) -> Cache:
        if self.places is None:
            return Cache(layers=list(self.layers))
        places = self.places.first(n_active)
        return SharingCache(self.layers, [layer.shared(places) for layer in self.layers])

    def _write(self, column: int | Tensor, active: Tensor, new: Tensor) -> None:
        self.tokens[active, column] = new
        self.stops[active] = column + 1
        self.done[active] = (new == self.eos) | (self.ends[active] == column + 1)
        if self.watch is not None:
            self.done[active] |= self.watch.settled(self.chunk[active], column, new)

    def _drop_finished(self, column: int) -> None:
        # Dropping copies the cache, so it waits until a tenth is finished.
        going = ~self.done[self.slots]
        if int(going.sum()) > 0.9 * len(self.slots):
            return
        kept = going.nonzero()[:, 0].to(self.model.device)
        # Branches that have not started yet need their row's columns up to their start.
        n_columns = max(column, int(self.starts[-1]))
        for layer in self.layers:
            layer.keep(kept, n_columns)
        self.slots = self.slots[going]
        if self.places is not None:
            self.places = Places.of(self.rows[self.slots].to(self.model.device), self.n_rows)
