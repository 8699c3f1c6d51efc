"""Which rows of a batch one process takes at a time: shares without padding or repetition."""

from collections.abc import Sequence
from dataclasses import dataclass


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

    @property
    def positions(self) -> list[int]:
        """Where its rows stand in the batch."""
        return list(range(self.first, self.first + len(self.rows)))

    @property
    def weight(self) -> float:
        """What a mean over its rows weighs in the mean over the batch."""
        return len(self.rows) / len(self.batch) if self.counts else 0.0

    def tokens_of(self, n_in_batch: int) -> float:
        """The tokens by which a sum over this part is divided so that, weighed, it adds up to
        the mean over the batch's tokens."""
        return max(n_in_batch, 1) * len(self.rows) / len(self.batch)


def shares(rows: Sequence[int], n: int) -> list[list[int]]:
    """The rows in n parts of equal size, or one more in the first ones; some may be empty."""
    size, more = divmod(len(rows), n)
    ends = [(i + 1) * size + min(i + 1, more) for i in range(n)]
    return [list(rows[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


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
            if number == rank:
                parts.append(_part(rows, first, list(batch)))
            first += len(rows)
    return parts


def _part(rows: list[int], first: int, batch: list[int]) -> Part:
    return Part(rows, first, batch) if rows else Part(batch[:1], 0, batch, counts=False)
