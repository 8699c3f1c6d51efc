"""Which item that may stay known stands beside each item to forget, and in which epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.sequences import Sequences


@dataclass(frozen=True)
class RetainItems:
    """The retain items of one run of a method.

    By the forget set's pairing each row has its nearest neighbour (eq. 2), the same in every
    epoch, or one drawn anew in each.  A draw depends on seed, epoch and row alone: the same items
    come whatever the batch size, the parts of a batch or the number of processes.
    """

    forget_set: "ForgetSet"
    seed: int = 0
    n_epochs: int = 1  # that draws differ in; later ones have those of the first epochs again

    @cached_property
    def candidates(self) -> "Sequences":
        """[C, L'] every item that may stand beside a row; `places` point into it."""
        return self.forget_set.pairs() if self._are_nearest else self.forget_set.drawable_pool

    def places(self, rows: Sequence[int], epoch: int = 1) -> list[int]:
        """Of each row of the forget set, the place of its retain item in that epoch."""
        if self._are_nearest:
            return list(rows)
        return [self._drawn(row, epoch) for row in rows]

    @cached_property
    def used(self) -> list[int]:
        """The places that come in any epoch, each once, in order."""
        rows = range(len(self.forget_set.rows))
        if self._are_nearest:
            return list(rows)
        epochs = range(1, self.n_epochs + 1)
        return sorted({place for epoch in epochs for place in self.places(rows, epoch)})

    @property
    def _are_nearest(self) -> bool:
        return self.forget_set.pairing == "nearest"

    def _drawn(self, row: int, epoch: int) -> int:
        offered, epoch = self.forget_set.offered(row), (epoch - 1) % self.n_epochs + 1
        digest = sha256(f"{self.seed}:retain item:{epoch}:{row}".encode()).digest()
        return offered[int.from_bytes(digest[:8], "big") % len(offered)]
