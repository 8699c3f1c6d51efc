"""The frozen model theta_0 without a second model: its head's inputs, and a copy of the head."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnbench.errors import UserError
from unlearnbench.models.network_state import acts_by_weights_alone
from unlearnbench.models.scoring import (
    HeadOutputs,
    head_function,
    head_inputs,
    head_is_last,
    output_head,
    position_logits,
    score_tokens,
    span_mask,
    suffix_mask,
)
from unlearnbench.unlearning.losses import kl_positions

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences

_ROWS_AT_ONCE = 8


@dataclass(frozen=True)
class FrozenReference:
    """The model's output distributions, as they were when `of` was called, at fixed positions.

    Probabilities of 128 rows over GPT-2's vocabulary are 4.8 GiB; what the head
    reads to make them is 75 MiB.
    """

    hidden: tuple[Tensor, ...]  # per sequence [n_i, d]
    head: Callable[[Tensor], Tensor]  # of a copy: the head is trained, and may be tied
    vocabulary: int

    @classmethod
    @torch.no_grad()
    def of(
        cls, model: "LanguageModel", sequences: "Sequences", positions: Tensor
    ) -> "FrozenReference":
        """Freeze the model at the positions where `positions` [M, L] bool is true.

        Raises `UserError` where the model's logits are not a function of its head's output.
        """
        own: Any = output_head(model)
        head = head_function(model, copy.deepcopy(own).requires_grad_(False))
        hidden: list[Tensor] = []
        for start in range(0, len(sequences), _ROWS_AT_ONCE):
            rows = list(range(start, min(start + _ROWS_AT_ONCE, len(sequences))))
            part, at = sequences.select(rows), positions[rows]
            read = head_inputs(model, part, at)
            if not start:
                _check_gives_logits(model, head, read, part, at)
            hidden.extend(read.split(at.sum(1).tolist()))
        return cls(tuple(hidden), head, int(own.weight.shape[0]))

    def outputs(self, rows: Sequence[int]) -> HeadOutputs:
        """[N, V] the frozen model's outputs at the kept positions of those sequences."""
        inputs = torch.cat([self.hidden[row] for row in rows])
        return HeadOutputs.of(inputs, self.head, self.vocabulary)


def _check_gives_logits(
    model: "LanguageModel",
    head: Callable[[Tensor], Tensor],
    read: Tensor,
    sequences: "Sequences",
    positions: Tensor,
) -> None:
    """Raises `UserError` where the kept inputs of a head that is not last give other logits."""
    if head_is_last(model):
        return
    with model.not_counted():
        logits = position_logits(model, sequences, positions)
    tolerance = 1e-5 if logits.dtype == torch.float32 else 1e-2
    # What is hooked in may act on some texts and not on others.
    if not acts_by_weights_alone(model.network) or not torch.allclose(
        head(read), logits, rtol=tolerance, atol=tolerance
    ):
        raise UserError(
            f"the logits of {type(model.network).__name__} do not follow from its output head's "
            "result alone, so its frozen distribution cannot be kept; take a method without a KL "
            "term: --methods kumpr"
        )


class References:
    """What losses may ask about theta_0, each computed once, before the first optimisation step."""

    def __init__(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:
        self._model, self._forget_set = model, forget_set
        self._stepped = False
        self._pairs: FrozenReference | None = None
        self._nll: dict[str, Tensor] = {}

    def model_has_changed(self) -> None:
        """Called after every step: theta_0 is gone, and only what was kept of it is there."""
        self._stepped = True

    def pair_outputs(self, rows: Sequence[int]) -> HeadOutputs:
        """[N, V] theta_0's outputs on the pairs, where the protocol's KL term looks."""
        if self._pairs is None:
            self._need_theta_0("the pairs' distribution")
            pairs = self._forget_set.pairs()
            with self._model.counted_once():
                positions = kl_positions(pairs, self._forget_set.protocol)
                self._pairs = FrozenReference.of(self._model, pairs, positions)
        return self._pairs.outputs(rows)

    def nll_per_row(self, which: str) -> Tensor:
        """[M] nats over the loss span under theta_0, of every target or neighbour (rows, pairs)."""
        chosen = self._forget_set.rows if which == "rows" else self._forget_set.pairs()
        return self._kept_nll(which, chosen, span_mask(chosen, self._forget_set.protocol))

    def suffix_nll_per_row(self, name: str, sequences: "Sequences") -> Tensor:
        """[M] nats of other sequences' suffixes under theta_0; kept under their name."""
        return self._kept_nll(f"suffixes of {name}", sequences, suffix_mask(sequences))

    @torch.no_grad()
    def _kept_nll(self, name: str, chosen: "Sequences", mask: Tensor) -> Tensor:
        if name not in self._nll:
            self._need_theta_0(f"the {name}' likelihood")
            parts = torch.arange(len(chosen)).split(_ROWS_AT_ONCE)
            with self._model.counted_once():
                scores = [score_tokens(self._model, chosen.select(p), mask[p]) for p in parts]
            self._nll[name] = torch.cat([score.nll_per_row for score in scores])
        return self._nll[name]

    def _need_theta_0(self, what: str) -> None:
        if self._stepped:
            raise UserError(
                f"a loss asked for {what} under the original model after the first step, when that "
                "model is gone; let the loss use it in every batch (docs/methods.md)"
            )
