"""The parts in which a batch is taken: by several processes, or in turn to save memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unlearnbench.models.devices.ranks import shares


@dataclass(frozen=True)
class Part:
    """Some rows of a batch, and what they count for in it."""

    rows: list[int]  # of the forget set
    first: int  # where the first of them stands in the batch
    batch: list[int]  # the whole batch's rows of the forget set
    counts: bool = True  # false: another part's row, taken so that all processes keep step

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the batch."""
        return self.counts and len(self.rows) == len(self.batch)

    def weighed(self, value: Any) -> Any:
        """A mean over its rows as their share in the batch's; untouched where it is the batch."""
        if self.is_whole:
            return value
        if not self.counts:
            # Zero, not NaN, for a row that only keeps step, and still something to go back through.
            return torch.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0) * 0.0
        return value * (len(self.rows) / len(self.batch))


def own_parts(batch: Sequence[int], rank: int, n_ranks: int, n_parts: int) -> list[Part]:
    """The parts in which process `rank` takes its share of a batch, one after the other.

    Every process has the same number of them: at most `n_parts`, and no more than
    the largest share has rows.  The counting ones of all processes are the batch,
    each row once.
    """
    n_each = min(n_parts, -(-len(batch) // n_ranks))
    parts, first = [], 0
    for number, own in enumerate(shares(batch, n_ranks)):
        for rows in shares(own, n_each):
            if number == rank and rows:
                parts.append(Part(rows, first, list(batch)))
            elif number == rank:
                parts.append(Part(list(batch[:1]), 0, list(batch), counts=False))
            first += len(rows)
    return parts
