"""The output head's logits at chosen positions, made piece by piece where they are many.

At GPT-2's vocabulary the logits of a batch of 8 rows of 200 tokens are 321 MB, and a loss
makes several tensors of that size.  Here a loss sees the logits of some positions at a
time; for its gradient they are computed again, for which one more product with the head's
weight is paid.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_BYTES_AT_ONCE = 64 * 2**20  # float32 logits


class HeadOutputs:
    """[N, V] next-token logits, known by what the head makes them of."""

    def __init__(self, inputs: Tensor, head: Callable[[Tensor], Tensor], n_at_once: int) -> None:
        self.inputs = inputs  # [N, d]
        self.head = head
        self._n_at_once = n_at_once

    @classmethod
    def of(cls, inputs: Tensor, head: Any, vocabulary: int) -> "HeadOutputs":
        """What `head` makes of `inputs` [N, d], in pieces of at most 64 MiB."""
        return cls(inputs, head, max(1, _BYTES_AT_ONCE // (4 * vocabulary)))

    @classmethod
    def whole(cls, logits: Tensor) -> "HeadOutputs":
        """Logits [N, V] that are there already."""
        return cls(logits, lambda made: made, max(1, len(logits)))

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def logits(self) -> Tensor:
        """[N, V], whole in memory."""
        return self.head(self.inputs)

    def select(self, positions: Tensor) -> "HeadOutputs":
        """Those of the positions where `positions` [N] bool is true."""
        return HeadOutputs(self.inputs[positions], self.head, self._n_at_once)

    def split(self, sizes: Sequence[int]) -> "tuple[HeadOutputs, ...]":
        """Consecutive parts of these sizes, which add up to N."""
        parts = self.inputs.split(list(sizes))
        return tuple(HeadOutputs(part, self.head, self._n_at_once) for part in parts)

    def values(self, function: Callable[..., Tensor], *aligned: "Tensor | HeadOutputs") -> Tensor:
        """[..., N] of `function(logits [n, V], *aligned [n, ...])`, position by position.

        What is aligned has one entry per position; other outputs are handed on as logits.
        """
        if len(self) <= self._n_at_once or "logits" in vars(self):
            return function(self.logits, *(_whole(each) for each in aligned))
        every = [self, *(_outputs(each) for each in aligned)]

        def of_piece(*inputs: Tensor) -> Tensor:
            return function(*(of.head(piece) for of, piece in zip(every, inputs, strict=True)))

        pieces = zip(*(of.inputs.split(self._n_at_once) for of in every), strict=True)
        return torch.cat([_recomputed(of_piece, piece) for piece in pieces], dim=-1)


def _outputs(aligned: "Tensor | HeadOutputs") -> HeadOutputs:
    return aligned if isinstance(aligned, HeadOutputs) else HeadOutputs.whole(aligned)


def _whole(aligned: "Tensor | HeadOutputs") -> Tensor:
    return aligned.logits if isinstance(aligned, HeadOutputs) else aligned


def _recomputed(function: Callable[..., Tensor], piece: tuple[Tensor, ...]) -> Tensor:
    """The function's values, of which only the arguments are kept for the backward pass."""
    if not torch.is_grad_enabled():
        return function(*piece)
    # There is no dropout in a head, so there is no random state to bring back.
    values: Tensor = checkpoint(function, *piece, use_reentrant=False, preserve_rng_state=False)
    return values
