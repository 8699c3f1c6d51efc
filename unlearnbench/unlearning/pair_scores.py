"""What losses ask about the neighbours: their likelihood, and their divergence from theta_0."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from unlearnbench.models.head_outputs import HeadOutputs
from unlearnbench.models.scoring import TokenScores
from unlearnbench.models.token_losses import token_nll


@dataclass(frozen=True)
class PairScores(TokenScores):
    """NLL and divergence from the same outputs; where both are wanted, in one run over the head.

    The outputs are those of every position where the KL term looks, U of them,
    among which are the N that predict the counted tokens.
    """

    following: Tensor  # [U] int64, the token after each position
    counted: Tensor  # [U] bool, the positions that predict the counted tokens
    frozen: Callable[[], HeadOutputs]  # theta_0's at the same positions
    divergence_of: Callable[[Tensor, Tensor], Tensor]  # [n] from theta_0's and own logits
    both: bool  # whether both will be asked for

    @property
    def logits(self) -> Tensor:
        """[N, V], whole in memory."""
        return self.outputs.logits[self.counted]

    @cached_property
    def token_nll(self) -> Tensor:
        """[N] nats."""
        values = self._both[0] if self.both else self.outputs.values(token_nll, self.following)
        return values[self.counted]

    @cached_property
    def divergence(self) -> Tensor:
        """[U] nats."""
        if self.both:
            return self._both[1]
        return self.outputs.values(
            lambda own, theta_0: self.divergence_of(theta_0, own), self.frozen()
        )

    @cached_property
    def _both(self) -> Tensor:
        """[2, U]."""

        def both(own: Tensor, following: Tensor, theta_0: Tensor) -> Tensor:
            return torch.stack([token_nll(own, following), self.divergence_of(theta_0, own)])

        return self.outputs.values(both, self.following, self.frozen())
