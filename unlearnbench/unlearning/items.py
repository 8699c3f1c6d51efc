"""What a loss may ask about the forget items or the retain items of a batch.

Items come token by token, item after item: [N] values of the labelled tokens (the protocol's loss
span: answers, suffixes, or whole texts), with which `TokenValues` makes sums and means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from unlearnbench.models.scoring import (
    HeadOutputs,
    TokenScores,
    head_outputs,
    hidden_states,
    labels_of,
    predictors_of,
    span_mask,
    sum_rows,
    widened,
)
from unlearnbench.unlearning.losses import dpo_loss
from unlearnbench.unlearning.reference import References, Which

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

#: Where a loss looks: at what predicts the labelled tokens; at the labelled tokens themselves (a
#: published mistake: one to the right); at everything that predicts a column, prompt and padding
#: too; at every column.
Positions = Literal["labelled", "unshifted", "predicting", "every"]
IGNORED = -100  # the label of what is not labelled


@dataclass(frozen=True)
class TokenValues:
    """One number per position, item after item, and how they are added up over the batch."""

    values: Tensor  # [N]
    counts: tuple[int, ...]  # of each item; they sum to N
    n_tokens: float  # by which a sum is divided, so that the parts' means add up to the batch's

    def mean(self) -> Tensor:
        """Their mean over all positions of the whole batch."""
        return self.values.sum() / self.n_tokens

    def sums(self) -> Tensor:
        """[B] each item's sum."""
        return sum_rows(self.values, self.counts)

    def means(self) -> Tensor:
        """[B] each item's mean; 0 of an item without positions."""
        counts = torch.tensor(self.counts, device=self.values.device).clamp(min=1)
        return self.sums() / counts


@dataclass(frozen=True)
class Items:
    """One side of a batch: what is to be forgotten, or what stands beside it."""

    model: "LanguageModel"
    protocol: "Protocol"
    references: References
    which: Which
    places: list[int]  # of these items among those of their side
    sequences: "Sequences"  # [B, L]
    whole: "Sequences"  # [B', L'] of the batch that these are a part of
    scores: Callable[[], TokenScores]  # of one pass, which the batch's other terms share
    network: Callable[..., object] | None = None

    @cached_property
    def labels(self) -> Tensor:
        """[N] the labelled tokens."""
        return self._labels_and_counts[0]

    @property
    def counts(self) -> tuple[int, ...]:
        """[B] labelled tokens of each item."""
        return self._labels_and_counts[1]

    @cached_property
    def whole_counts(self) -> tuple[int, ...]:
        """[B'] labelled tokens of each item of the whole batch."""
        return tuple(span_mask(self.whole, self.protocol).sum(1).tolist())

    @cached_property
    def nll(self) -> TokenValues:
        """[N] nats: -log p of each labelled token."""
        return self._counted(self.scores().token_nll, self.counts)

    @property
    def reference_nll(self) -> TokenValues:
        """[N] nats under the model before unlearning."""
        return self._counted(self.references.token_nll(self.which, self.places), self.counts)

    def values(
        self,
        function: Callable[..., Tensor],
        *aligned: Tensor,
        positions: Positions = "labelled",
    ) -> TokenValues:
        """[N] of `function(logits [n, V], *aligned [n])`, some positions at a time."""
        outputs, counts = self._outputs(positions)
        return self._counted(outputs.values(_wide(function), *aligned), counts, positions)

    def values_beside_original(
        self,
        function: Callable[..., Tensor],
        *aligned: Tensor,
        positions: Positions = "labelled",
    ) -> TokenValues:
        """[N] of `function(logits [n, V], logits of the original [n, V], *aligned [n])`."""
        outputs, counts = self._outputs(positions)
        original = self._original(positions)
        values = outputs.values(_wide(function), original, *aligned)
        return self._counted(values, counts, positions)

    def labels_at(self, positions: Positions) -> Tensor:
        """[N] the token that follows each position where it is labelled, else `IGNORED`."""
        if positions == "labelled":
            return self.labels
        rows = self._rows(positions)
        following = rows.input_ids.roll(-1, dims=1)
        is_label = predictors_of(span_mask(rows, self.protocol))
        following = following.masked_fill(~is_label, IGNORED)
        return following[self._at(rows, positions)].to(self.model.device)

    def hidden(self, layer: int) -> Tensor:
        """[N, d] what a layer gives at the labelled tokens; layers count from 0."""
        states = hidden_states(self.model, self.sequences, self._mask, layer, self.network)
        return widened(states)

    def reference_hidden(self, layer: int) -> Tensor:
        """[N, d] the same of the model before unlearning."""
        states = self.references.hidden(
            self.which, self.places, layer, lambda rows: span_mask(rows, self.protocol)
        )
        return widened(states)

    def token_values(self, values: Tensor) -> TokenValues:
        """[N] values of the labelled tokens, made elsewhere: of hidden states."""
        return self._counted(values, self.counts)

    def _original(self, positions: Positions) -> HeadOutputs:
        """The frozen model's outputs; where padding counts, all columns of an item are kept."""
        at, first = positions, None
        if positions in ("predicting", "every"):
            width = self.whole.input_ids.shape[1]
            at, first = "every", width - (positions == "predicting")
        return self.references.outputs(
            self.which, self.places, at, lambda rows: self._at(rows, at), first
        )

    @cached_property
    def _mask(self) -> Tensor:
        return span_mask(self.sequences, self.protocol)

    @cached_property
    def _labels_and_counts(self) -> tuple[Tensor, tuple[int, ...]]:
        return labels_of(self.sequences, self._mask, self.model.device)

    def _outputs(self, positions: Positions) -> tuple[HeadOutputs, tuple[int, ...]]:
        if positions == "labelled":
            return self.scores().labelled, self.counts
        rows = self._rows(positions)
        at = self._at(rows, positions)
        outputs = head_outputs(self.model, rows, at, self.network)
        return outputs, tuple(at.sum(1).tolist())

    def _counted(
        self, values: Tensor, counts: Sequence[int], positions: Positions = "labelled"
    ) -> TokenValues:
        n_whole = int(self._at(self.whole, positions).sum())
        share = len(self.sequences) / len(self.whole)
        return TokenValues(values, tuple(counts), max(n_whole, 1) * share)

    def _rows(self, positions: Positions) -> "Sequences":
        """These items, as wide as the whole batch where a loss looks at padding."""
        if positions in ("labelled", "unshifted"):
            return self.sequences
        side = self.references.every(self.which).select(self.places)
        return replace(side, input_ids=side.input_ids[:, : self.whole.input_ids.shape[1]])

    def _at(self, rows: "Sequences", positions: Positions) -> Tensor:
        """[B, L] bool."""
        if positions == "labelled":
            return predictors_of(span_mask(rows, self.protocol))
        if positions == "unshifted":
            return span_mask(rows, self.protocol)
        at = torch.ones_like(rows.input_ids, dtype=torch.bool)
        if positions == "predicting":
            at[:, -1] = False
        return at


def preference_loss(chosen: Items, rejected: Items, beta: float) -> Tensor:
    """DPO's loss of some items over others, mean over the pairs (Rafailov et al. 2023, eq. 7)."""
    return dpo_loss(
        -chosen.nll.sums(),
        -rejected.nll.sums(),
        -chosen.reference_nll.sums(),
        -rejected.reference_nll.sums(),
        beta,
    )


def _wide(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function of logits in float32 at least."""

    def of_wide(*logits: Tensor) -> Tensor:
        return function(*(widened(each) if each.is_floating_point() else each for each in logits))

    return of_wide
