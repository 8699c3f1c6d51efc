"""The frozen model theta_0 without a second model: what it made of rows before the first step.

Probabilities of 128 rows over GPT-2's vocabulary are 4.8 GiB; what the output head reads to make
them, which is kept together with a copy of the head, is 75 MiB.
"""

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unlearnbench.errors import UserError
from unlearnbench.models.network_state import acts_by_weights_alone
from unlearnbench.models.scoring import (
    HeadOutputs,
    head_function,
    head_inputs,
    head_is_last,
    hidden_states,
    output_head,
    position_logits,
    score_tokens,
    span_mask,
    suffix_mask,
)
from unlearnbench.unlearning.losses import kl_positions
from unlearnbench.unlearning.retain_items import RetainItems

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

Which = str  # 'rows' to forget, 'pairs': their retain items, or what a method has added by name
MaskOf = Callable[["Sequences"], Tensor]  # [B, L] bool

_ROWS_AT_ONCE = 8


class References:
    """What losses may ask about theta_0, each computed once, before the first optimisation step."""

    def __init__(
        self,
        model: "LanguageModel",
        forget_set: "ForgetSet",
        retain_items: RetainItems | None = None,
        protocol: "Protocol | None" = None,
    ) -> None:
        self._model, self._forget_set = model, forget_set
        self.protocol = protocol or forget_set.protocol  # which tokens count, for the losses too
        self.retain_items = retain_items or RetainItems(forget_set)
        self._added: dict[str, tuple[Sequences, list[int]]] = {}
        self._stepped = False
        # By what was asked for, then by place: [n_i, d] of the head's inputs, [n_i] of NLLs.
        self._inputs: dict[tuple[str, str], dict[int, Tensor]] = {}
        self._hidden: dict[tuple[str, int], dict[int, Tensor]] = {}
        self._nll: dict[str, dict[int, Tensor]] = {}

    def model_has_changed(self) -> None:
        """Called after every step: theta_0 is gone, and only what was kept of it is there."""
        self._stepped = True

    def pair_outputs(self, places: Sequence[int]) -> HeadOutputs:
        """[N, V] theta_0's outputs on retain items, where the protocol's KL term looks."""
        return self.outputs("pairs", places, "kl", self.kl_positions)

    def kl_positions(self, sequences: "Sequences") -> Tensor:
        """[B, L] bool."""
        return kl_positions(sequences, self.protocol)

    def outputs(
        self,
        which: Which,
        places: Sequence[int],
        name: str,
        positions: MaskOf,
        first: int | None = None,
    ) -> HeadOutputs:
        """[N, V] theta_0's outputs at those positions, item after item; kept under their name.

        Of each item the `first` of its positions, or all.  Raises `UserError` where the model's
        logits are not a function of its head's output.
        """
        kept = self._inputs.get((which, name))
        if kept is None:
            kept = self._inputs[which, name] = self._freeze(which, name, positions)
        inputs = torch.cat([kept[place][:first] for place in places])
        vocabulary = self._model.network.config.get_text_config().vocab_size
        return HeadOutputs.of(inputs, self._head, vocabulary)

    @torch.no_grad()
    def _freeze(self, which: Which, name: str, positions: MaskOf) -> dict[int, Tensor]:
        self._need_theta_0(f"the {name} outputs on {which}")
        model, sequences, places = self._model, self.every(which), self._used(which)
        at = positions(sequences)
        kept: dict[int, Tensor] = {}
        with model.counted_once():
            for some in torch.tensor(places).split(_ROWS_AT_ONCE):
                read = head_inputs(model, sequences.select(some), at[some])
                kept |= zip(some.tolist(), read.split(at[some].sum(1).tolist()), strict=True)
        _ = self._head  # while it is theta_0's
        if not head_is_last(model):
            first = torch.tensor(places[:_ROWS_AT_ONCE])
            inputs = torch.cat([kept[place] for place in first.tolist()])
            self._check_head(sequences.select(first), at[first], inputs)
        return kept

    @cached_property
    def _head(self) -> Callable[[Tensor], Tensor]:
        # A copy: the head is trained, and may be tied to the embeddings.
        head = copy.deepcopy(output_head(self._model)).requires_grad_(False)
        return head_function(self._model, head)

    def _check_head(self, sequences: "Sequences", positions: Tensor, inputs: Tensor) -> None:
        """Raises `UserError` where what the head read of these items gives other logits."""
        model = self._model
        with model.not_counted():
            logits = position_logits(model, sequences, positions)
        vocabulary = model.network.config.get_text_config().vocab_size
        outputs = HeadOutputs.of(inputs, self._head, vocabulary)
        tolerance = 1e-5 if logits.dtype == torch.float32 else 1e-2
        is_same = torch.allclose(outputs.logits, logits, rtol=tolerance, atol=tolerance)
        # What is hooked in may act on some texts and not on others.
        if not is_same or not acts_by_weights_alone(model.network):
            raise UserError(
                f"the logits of {type(model.network).__name__} do not follow from its output "
                "head's result alone, so its frozen distribution cannot be kept; take a method "
                "without a KL term: --methods kumpr"
            )

    @torch.no_grad()
    def hidden(self, which: Which, places: Sequence[int], layer: int, tokens: MaskOf) -> Tensor:
        """[N, d] what theta_0's layer gave at the masked tokens of those items."""
        key = (which, layer)
        if key not in self._hidden:
            self._need_theta_0(f"hidden states of {which}")
            model, sequences, used = self._model, self.every(which), self._used(which)
            mask = tokens(sequences)
            kept: dict[int, Tensor] = {}
            with model.counted_once():
                for some in torch.tensor(used).split(_ROWS_AT_ONCE):
                    states = hidden_states(model, sequences.select(some), mask[some], layer)
                    kept |= zip(
                        some.tolist(), states.split(mask[some].sum(1).tolist()), strict=True
                    )
            self._hidden[key] = kept
        return torch.cat([self._hidden[key][place] for place in places])

    def nll_per_row(self, which: Which, places: Sequence[int] | None = None) -> Tensor:
        """[B] nats over the loss span under theta_0; without places, of all of them."""
        return torch.stack([values.sum() for values in self._token_nlls(which, places)])

    def token_nll(self, which: Which, places: Sequence[int]) -> Tensor:
        """[N] nats of the loss span's tokens under theta_0, item after item."""
        return torch.cat(self._token_nlls(which, places))

    def suffix_nll_per_row(self, name: str, sequences: "Sequences") -> Tensor:
        """[M] nats of other sequences' suffixes under theta_0; kept under their name."""
        every = list(range(len(sequences)))
        kept = self._kept_nll(f"suffixes of {name}", sequences, every, suffix_mask)
        return torch.stack([kept[place].sum() for place in every])

    def _token_nlls(self, which: Which, places: Sequence[int] | None) -> list[Tensor]:
        sequences, used = self.every(which), self._used(which)
        kept = self._kept_nll(which, sequences, used, lambda rows: span_mask(rows, self.protocol))
        return [kept[place] for place in (used if places is None else places)]

    @torch.no_grad()
    def _kept_nll(
        self, name: str, sequences: "Sequences", places: Sequence[int], mask_of: MaskOf
    ) -> dict[int, Tensor]:
        if name not in self._nll:
            self._need_theta_0(f"the {name}' likelihood")
            model, mask = self._model, mask_of(sequences)
            kept: dict[int, Tensor] = {}
            with model.counted_once():
                for some in torch.tensor(places).split(_ROWS_AT_ONCE):
                    scores = score_tokens(model, sequences.select(some), mask[some])
                    values = scores.token_nll.split(list(scores.counts))
                    kept |= zip(some.tolist(), values, strict=True)
            self._nll[name] = kept
        return self._nll[name]

    def add(self, which: Which, sequences: "Sequences", used: list[int]) -> None:
        """Make other sequences known, and the places of them that may be asked for."""
        self._added.setdefault(which, (sequences, used))

    def every(self, which: Which) -> "Sequences":
        """[C, L] what places point into."""
        if which in self._added:
            return self._added[which][0]
        return self._forget_set.rows if which == "rows" else self.retain_items.candidates

    def _used(self, which: Which) -> list[int]:
        if which in self._added:
            return self._added[which][1]
        rows = self._forget_set.rows
        return list(range(len(rows))) if which == "rows" else self.retain_items.used

    def _need_theta_0(self, what: str) -> None:
        if self._stepped:
            raise UserError(
                f"a loss asked for {what} under the original model after the first step, when that "
                "model is gone; let the loss use it in every batch (docs/methods.md)"
            )
