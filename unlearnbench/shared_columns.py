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

    at: Tensor  # [n] int64: row * most + number within the row
    n_rows: int
    most: int  # branches of one row

    @classmethod
    def of(cls, rows: Tensor, n_rows: int) -> "Places":
        """Of branches of these rows [n]; the first ones of them stand where all of them do."""
        is_of = rows[:, None] == torch.arange(n_rows, device=rows.device)
        number = is_of.cumsum(0).gather(1, rows[:, None])[:, 0] - 1
        most = int(number.max()) + 1 if len(rows) else 1
        return cls(rows * most + number, n_rows, most)

    def first(self, n: int) -> "Places":
        """Those of the first n branches."""
        return Places(self.at[:n], self.n_rows, self.most)

    def by_row(self, of_branches: Tensor) -> Tensor:
        """[R, H, most, X] of [n, H, 1, X]; nothing where a row has fewer branches."""
        n_heads, width = of_branches.shape[1], of_branches.shape[3]
        spread = of_branches.new_zeros(self.n_rows * self.most, n_heads, width)
        spread[self.at] = of_branches[:, :, 0]
        return spread.view(self.n_rows, self.most, n_heads, width).transpose(1, 2)

    def by_branch(self, of_rows: Tensor) -> Tensor:
        """[n, H, 1, X] of [R, H, most, X]."""
        flat = of_rows.transpose(1, 2).reshape(self.n_rows * self.most, of_rows.shape[1], -1)
        return flat[self.at][:, :, None]


@dataclass(frozen=True)
class SharedColumns:
    """The first columns of every row, [R, H, C, D], for branches that all stand behind them."""

    keys: Tensor
    values: Tensor
    places: Places

    def __len__(self) -> int:
        return self.keys.shape[2]

    def scores(self, query: Tensor) -> Tensor:
        """[n, H, 1, C] products of each branch's query [n, H, 1, D] with its row's keys."""
        keys = self.keys.to(query.dtype)
        return self.places.by_branch(self.places.by_row(query) @ keys.transpose(-1, -2))

    def mixed(self, weights: Tensor) -> Tensor:
        """[n, H, 1, D] its row's values, mixed by each branch's weights [n, H, 1, C]."""
        return self.places.by_branch(self.places.by_row(weights) @ self.values)


def handed_on(keys: Tensor, shared: SharedColumns | None) -> Tensor:
    """The keys of a branch's own columns, with what stands before them."""
    # From the cache to the attention there is no other way through a network's own code.
    marked: Any = keys
    marked.shared_columns = shared
    return keys


def shared_columns_of(keys: Tensor) -> SharedColumns | None:
    """What was handed on with these keys."""
    return getattr(keys, "shared_columns", None)
