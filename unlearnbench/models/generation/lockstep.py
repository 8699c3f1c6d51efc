"""Branches that are decoded together: each step gives all of them the token of one column."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from unlearnbench.models.generation.branch import best_tokens
from unlearnbench.models.gpt_neo import Places, SharedColumns, handed_on

if TYPE_CHECKING:
    from unlearnbench.models.generation.branch import Branch, Prefill, Watch
    from unlearnbench.models.language_model import LanguageModel


class _BranchLayer(CacheLayerMixin):
    """Preallocated keys and values of many branches, all at the same column.

    Because every branch stands at the same absolute column, the library's own
    positions, causal mask and sliding windows are right without a mask of ours.
    The first columns are left with the rows, where the network can read them there.
    """

    is_sliding = False

    def __init__(self, source: Any, rows: Tensor, columns: range, n_shared: int) -> None:
        """`columns` up to which the rows are known, and of which there is room at all."""
        super().__init__()
        self.n_shared = n_shared
        self._rows_keys, self._rows_values = source.keys, source.values
        self.keys: Tensor
        self.values: Tensor
        self.keys = _spread(source.keys, rows, columns, n_shared)
        self.values = _spread(source.values, rows, columns, n_shared)
        self.column = 0
        self.places: Places | None = None  # of the branches that are under way
        self.is_initialized = True

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
        known = slice(column + 1)
        keys = handed_on(self.keys[:n_branches, :, known], self._shared())
        return keys, self.values[:n_branches, :, known]

    def _shared(self) -> SharedColumns | None:
        if self.places is None:
            return None
        first = slice(self.n_shared)
        return SharedColumns(
            self._rows_keys[:, :, first], self._rows_values[:, :, first], self.places
        )

    def keep(self, slots: Tensor, known: int) -> None:
        # In place: pages that are already there cost less than new ones.
        n_kept, own = len(slots), known - self.n_shared
        for states in (self.keys, self.values):
            states[:n_kept, :, :own] = states[slots, :, :own]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: everything was allocated at the start."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.column + query_length, 0

    def get_seq_length(self) -> int:
        return self.column

    def get_max_length(self) -> int:
        return -1


def _spread(states: Tensor, rows: Tensor, columns: range, n_shared: int) -> Tensor:
    """[k, H, W, D] from column `n_shared` on: those of the given rows where they are known."""
    width = columns.stop - n_shared
    spread = states.new_empty(len(rows), states.shape[1], width, states.shape[3])
    spread[:, :, : columns.start - n_shared] = states[rows, :, n_shared : columns.start]
    return spread


class Lockstep:
    """Decodes one chunk of branches, all at the same column at a time."""

    def __init__(
        self,
        model: "LanguageModel",
        prefill: "Prefill",
        branches: "Sequence[Branch]",
        chunk: Sequence[int],  # indices into branches, by ascending start
        watch: "Watch | None",
        n_shared: int,  # first columns that the network can read where the rows have them
    ) -> None:
        self.model, self.watch = model, watch
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
        self.n_rows = len(prefill.predicted)
        self._allocate(prefill, n_shared)

    def _allocate(self, prefill: "Prefill", n_shared: int) -> None:
        rows = self.rows[self.slots].to(self.model.device)
        columns = range(int(self.starts[-1]), int(self.ends.max()))
        self.places = Places.of(rows, self.n_rows) if n_shared else None
        self.layers = [
            _BranchLayer(layer, rows, columns, n_shared) for layer in prefill.cache.layers
        ]

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
        places = self.places and self.places.first(len(active))
        for layer in self.layers:
            layer.column, layer.places = column, places
        fed = self.tokens[active, column].clamp_min(0)[:, None].to(self.model.device)
        cache = Cache(layers=list(self.layers))
        logits = self.model.network(input_ids=fed, past_key_values=cache, use_cache=True).logits
        going = ~self.done[active]
        self._write(column + 1, active[going], best_tokens(logits[:, -1])[going])

    def _write(self, column: int | Tensor, active: Tensor, found: Tensor) -> None:
        self.tokens[active, column] = found
        self.stops[active] = column + 1
        self.done[active] = (found == self.eos) | (self.ends[active] == column + 1)
        if self.watch is not None:
            self.done[active] |= self.watch.settled(self.chunk[active], column, found)

    def _drop_finished(self, column: int) -> None:
        # Dropping copies the cache, so it waits until a tenth is finished.
        going = ~self.done[self.slots]
        if int(going.sum()) > 0.9 * len(self.slots):
            return
        kept = going.nonzero()[:, 0].to(self.model.device)
        # Branches that have not started yet need their row's columns up to their start.
        known = max(column, int(self.starts[-1]))
        for layer in self.layers:
            layer.keep(kept, known)
        self.slots = self.slots[going]
        if self.places is not None:
            self.places = Places.of(self.rows[self.slots].to(self.model.device), self.n_rows)
