"""What branches of one row have in common: keys and values that are read once for all of them.

A branch that copies its row's columns makes the processor read them for it alone.  Here
the queries of a row's branches are put side by side, and meet its columns as one matrix.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Places:
    """Where each of n branches stands among the branches of its row, of which there are R."""

    rows: Tensor  # [n] int64
    number: Tensor  # [n] int64, within the row
    n_rows: int
    most: int  # branches of one row

    @classmethod
    def of(cls, rows: Tensor, n_rows: int) -> "Places":
        """Of branches of these rows [n]; the first ones of them stand where all of them do."""
        is_of = rows[:, None] == torch.arange(n_rows, device=rows.device)
        number = is_of.cumsum(0).gather(1, rows[:, None])[:, 0] - 1
        most = int(number.max()) + 1 if len(rows) else 1
        return cls(rows, number, n_rows, most)

    def first(self, n: int) -> "Places":
        """Those of the first n branches."""
        return Places(self.rows[:n], self.number[:n], self.n_rows, self.most)

    def by_row(self, of_branches: Tensor) -> Tensor:
        """[R, H, most, X] of [n, H, 1, X]; nothing where a row has fewer branches."""
        n_heads, width = of_branches.shape[1], of_branches.shape[3]
        spread = of_branches.new_zeros(self.n_rows, n_heads, self.most, width)
        spread[self.rows, :, self.number] = of_branches[:, :, 0]
        return spread

    def by_branch(self, of_rows: Tensor) -> Tensor:
        """[n, H, 1, X] of [R, H, most, X]."""
        return of_rows[self.rows, :, self.number][:, :, None]


@dataclass(frozen=True)
class SharedColumns:
    """The first columns of every row, [R, H, C, D], for branches that all stand behind them."""

    keys: Tensor
    values: Tensor
    places: Places

    def __len__(self) -> int:
        return self.keys.shape[2]

    def attended(self, query: Tensor, mask: Tensor | None) -> "Attended":
        """What each branch's query [n, H, 1, D] finds here; `mask` [..., 1, C] as `Attended`'s."""
        scores = self.places.by_row(query) @ self.keys.to(query.dtype).transpose(-1, -2)
        found = Attended.of(scores, self.values, mask)
        # Together: one walk over the branches, and no wider than a head.
        parts = torch.cat([found.mixed, found.total, found.top], dim=-1)
        width = self.values.shape[-1]
        return Attended(*self.places.by_branch(parts).split([width, 1, 1], dim=-1))


@dataclass(frozen=True)
class Attended:
    """What attention finds in some of the columns, to be put together with the others."""

    mixed: Tensor  # [..., 1, D] float32 values, weighed by exp(score - top)
    total: Tensor  # [..., 1, 1] of those weights
    top: Tensor  # [..., 1, 1] largest score

    @classmethod
    def of(cls, scores: Tensor, values: Tensor, mask: Tensor | None) -> "Attended":
        """From products with the keys [..., 1, C]; `mask` [..., 1, C] is true where one looks."""
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        top = scores.amax(-1, keepdim=True)
        weights = (scores - top).exp_()
        mixed = (weights.to(values.dtype) @ values).to(scores.dtype)
        return cls(mixed, weights.sum(-1, keepdim=True), top)

    def with_others(self, others: "Attended") -> Tensor:
        """[..., 1, D] attention to both: one softmax over all their columns."""
        top = torch.maximum(self.top, others.top)
        own, of_others = (self.top - top).exp_(), (others.top - top).exp_()
        mixed = self.mixed * own + others.mixed * of_others
        return mixed / (self.total * own + others.total * of_others)


def handed_on(keys: Tensor, shared: SharedColumns | None) -> Tensor:
    """The keys of a branch's own columns, with what stands before them."""
    # From the cache to the attention there is no other way through a network's own code.
    marked: Any = keys
    marked.shared_columns = shared
    return keys


def shared_columns_of(keys: Tensor) -> SharedColumns | None:
    """What was handed on with these keys."""
    return getattr(keys, "shared_columns", None)
