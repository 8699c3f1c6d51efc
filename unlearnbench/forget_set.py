"""A forget set: the sequences to forget, the pool of analogues, and the test whether it is forgotten."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unlearnbench.protocol import Protocol

if TYPE_CHECKING:
    from unlearnbench.examine import Examiner
    from unlearnbench.sequences import Sequences


@dataclass
class ForgetSet:
    """The M sequences a model is asked to forget, tokenised for that model.

    `pairs()` gives one analogous sequence per target (eq. 2), found once.
    `examiner` measures how well the set is known and says when to stop.
    """

    name: str  # e.g. 'pile-extraction/lm_extraction_128_0'
    run: str  # which forget set of the source: '0', '1', ...
    rows: "Sequences"  # [M, L]
    pool: "Sequences"  # candidates for pairs; never contains a target
    protocol: Protocol
    content_sha256: str  # over the token ids of rows and pool
    find_pairs: Callable[[], list[int]]  # pool index of each row's neighbour
    examiner: "Examiner"
    refusals: tuple[str, ...] = ()  # "don't know" answers, for question-answer data
    _pairs: "Sequences | None" = field(default=None, repr=False)

    def pairs(self) -> "Sequences":
        """[M, L] the nearest neighbour of each row, in the rows' order."""
        if self._pairs is None:
            self._pairs = self.pool.select(self.find_pairs())
        return self._pairs
