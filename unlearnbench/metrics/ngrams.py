"""n-gram overlap of continuations with their row (eq. 8), and when it can no longer change."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Denominator = Literal["continuation", "reference"]


def last_starts(reference: Sequence[int], n: int) -> dict[tuple[int, ...], int]:
    """The last position at which each n-gram of the reference starts."""
    return {tuple(reference[i : i + n]): i for i in range(len(reference) - n + 1)}


def overlaps(
    text: Sequence[int],
    starts: Sequence[int],
    known: dict[tuple[int, ...], int],
    n: int,
    reference_length: int,
    denominator: Denominator,
) -> list[float]:
    """Eq. 8 for each start t: the share of the n-grams of `text` from t that occur in x_>=t.

    `text` begins at position starts[0] of the reference, and `known` are the
    reference's `last_starts`: an n-gram occurs in x_>=t if its last start is >= t.
    """
    n_grams = max(0, len(text) - n + 1)
    seen = np.array([known.get(tuple(text[i : i + n]), -1) for i in range(n_grams)], dtype=int)
    end = len(text) + starts[0] if denominator == "continuation" else reference_length
    # Without an n-gram there is no share; EL counts such a continuation as 0.
    return [float((seen[t - starts[0] :] >= t).sum()) / max(1, end - t - n + 1) for t in starts]


class OverlapWatch:
    """Says when the tokens a branch still lacks cannot change its overlap any more.

    For every branch it follows, per position j of its row, how many of the
    branch's last tokens are those of the row up to j.  If the longest such run
    is too short to grow to n within the branch, no n-gram will match any more.
    """

    def __init__(
        self,
        input_ids: Tensor,  # [B, L] the rows, what does not count replaced by -1
        rows: Tensor,  # [k] row of each branch
        firsts: Tensor,  # [k] column of the first start that shares the branch
        starts: Tensor,  # [k] column where the branch leaves its row
        ends: Tensor,  # [k] first column it must not fill
        n: int,
        denominator: Denominator,
    ) -> None:
        self.references, self.ends, self.n = input_ids[rows], ends, n
        own = _own_runs(input_ids)[rows, starts - 1]
        self.runs = torch.minimum(own, (starts - firsts)[:, None].to(own.dtype))
        # After a match the length of the continuation counts too, unless it is not divided by.
        self.needs_length = denominator == "continuation"
        self.matched = self.runs.amax(1) >= n

    def settled(self, branches: Tensor, column: int | Tensor, tokens: Tensor) -> Tensor:
        """[k] bool: whether these branches, which just got `tokens` at `column`, may end here."""
        runs = self.runs[branches]
        longer = torch.ones_like(runs)
        longer[:, 1:] += runs[:, :-1]
        runs = longer * (self.references[branches] == tokens[:, None])
        self.runs[branches] = runs
        longest = runs.amax(1)
        self.matched[branches] |= longest >= self.n
        hopeless = column - longest + self.n >= self.ends[branches]
        return hopeless & ~(self.matched[branches] & self.needs_length)


def _own_runs(input_ids: Tensor) -> Tensor:
    """[B, L, L] int16: how many tokens up to column i equal those up to column j."""
    n_rows, width = input_ids.shape
    equal = input_ids[:, :, None] == input_ids[:, None, :]
    runs = torch.zeros(n_rows, width, width, dtype=torch.int16)
    runs[:, 0] = equal[:, 0]
    for i in range(1, width):
        longer = torch.ones(n_rows, width, dtype=torch.int16)
        longer[:, 1:] += runs[:, i - 1, :-1]
        runs[:, i] = longer * equal[:, i]
    return runs
