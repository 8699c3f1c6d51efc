"""The frozen model theta_0 without a second model: its head's inputs, and a copy of the head."""

import copy
from collections.abc import Callable, Sequence
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


class References:
    """What losses may ask about theta_0, each computed once, before the first optimisation step."""

    def __init__(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:
        self._model, self._forget_set = model, forget_set
        self._stepped = False
        self._head: Callable[[Tensor], Tensor] | None = None
        self._pair_inputs: list[Tensor] = []  # of the head, per pair [n_i, d]
        self._nll: dict[str, Tensor] = {}

    def model_has_changed(self) -> None:
        """Called after every step: theta_0 is gone, and only what was kept of it is there."""
        self._stepped = True

    def pair_outputs(self, rows: Sequence[int]) -> HeadOutputs:
        """[N, V] theta_0's outputs on the pairs, where the protocol's KL term looks.

        Probabilities of 128 rows over GPT-2's vocabulary are 4.8 GiB; what the head reads to make
        them, which is kept, is 75 MiB.
        Raises `UserError` where the model's logits are not a function of its head's output.
        """
        if self._head is None:
            self._freeze_pairs()
        assert self._head is not None
        inputs = torch.cat([self._pair_inputs[row] for row in rows])
        vocabulary = self._model.network.config.get_text_config().vocab_size
        return HeadOutputs.of(inputs, self._head, vocabulary)

    @torch.no_grad()
    def _freeze_pairs(self) -> None:
        self._need_theta_0("the pairs' distribution")
        model, pairs = self._model, self._forget_set.pairs()
        positions = kl_positions(pairs, self._forget_set.protocol)
        with model.counted_once():
            for rows in torch.arange(len(pairs)).split(_ROWS_AT_ONCE):
                read = head_inputs(model, pairs.select(rows), positions[rows])
                self._pair_inputs.extend(read.split(positions[rows].sum(1).tolist()))
        # A copy: the head is trained, and may be tied to the embeddings.
        self._head = head_function(model, copy.deepcopy(output_head(model)).requires_grad_(False))
        if not head_is_last(model):
            first = slice(0, _ROWS_AT_ONCE)
            self._check_head(pairs.select(range(len(pairs))[first]), positions[first])

    def _check_head(self, pairs: "Sequences", positions: Tensor) -> None:
        """Raises `UserError` where what the head read of these pairs gives other logits."""
        model, outputs = self._model, self.pair_outputs(range(len(pairs)))
        with model.not_counted():
            logits = position_logits(model, pairs, positions)
        tolerance = 1e-5 if logits.dtype == torch.float32 else 1e-2
        is_same = torch.allclose(outputs.logits, logits, rtol=tolerance, atol=tolerance)
        # What is hooked in may act on some texts and not on others.
        if not is_same or not acts_by_weights_alone(model.network):
            raise UserError(
                f"the logits of {type(model.network).__name__} do not follow from its output "
                "head's result alone, so its frozen distribution cannot be kept; take a method "
                "without a KL term: --methods kumpr"
            )

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
