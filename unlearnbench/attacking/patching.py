"""Activation patching: a layer's states of one model put into another one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from unlearnbench.attacking.hidden_states import (
    check_readable,
    layer_states,
    readable_layers,
    replaced,
)
from unlearnbench.attacking.spans import SpanTokens
from unlearnbench.errors import UserError
from unlearnbench.models.scoring import position_logits

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


class SpanPatching:
    """How well a model predicts rows' suffixes with states of another one in it."""

    def __init__(self, model: "LanguageModel", rows: "Sequences") -> None:
        self.model, self.rows = model, rows
        self._tokens = SpanTokens.of(rows, model.device)
        self._unpatched = self._log_probabilities()

    @torch.no_grad()
    def states_of(self, source: "LanguageModel") -> "list[Tensor]":
        """Of each layer of another model [N, d], at the positions that predict the suffixes."""
        return layer_states(source, self.rows, self._tokens.positions)

    @torch.no_grad()
    def drops(self, states: "Sequence[Tensor]", layer: int) -> list[float]:
        """[B] nats: how much lower a suffix's mean log-probability is with that layer's states."""
        at = self._tokens.positions.to(self.model.device)
        with replaced(readable_layers(self.model)[layer], at, states[layer]):
            patched = self._log_probabilities()
        return [before - after for before, after in zip(self._unpatched, patched, strict=True)]

    @torch.no_grad()
    def _log_probabilities(self) -> list[float]:
        logits = position_logits(self.model, self.rows, self._tokens.positions)
        return [of_row.log_probability for of_row in self._tokens.read([logits])]


def check_same_shape(
    attack: str, model: "LanguageModel", others: "Sequence[LanguageModel]"
) -> None:
    """Raise `UserError` unless the models' states can stand in for each other's."""
    from unlearnbench.models.vocabulary import vocabulary_sha256

    def shape(of: "LanguageModel") -> tuple[str, int, int, str]:
        config = of.network.config.get_text_config()
        size = config.vocab_size
        words = vocabulary_sha256(of.tokenizer, size)
        return config.model_type, len(readable_layers(of)), config.hidden_size, words

    check_readable(model)
    for other in others:
        if shape(other) != shape(model):
            raise UserError(
                f"{attack}: {other.source.name} has other layers or another tokenizer than "
                f"{model.source.name}, so its states cannot be put there; name one of the same "
                "kind: --retrained MODEL, or leave the attack out of --attacks"
            )
