"""Logit lens: what the network's head makes of each layer's states."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.registry import register
from unlearnbench.settings import setting

from ._citations import LUCKI

if TYPE_CHECKING:
    from unlearnbench.attacking.spans import TokenMeans
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


@register
@dataclass(kw_only=True)
class LogitLens(Attack):
    """Reads what was to be forgotten off every layer, with the network's own norm and head.

    An answer that the last layer hides may stand in one before it.  The last layer's is what the
    model says.
    """

    name = "logit-lens"
    label = "Logit lens"
    source = "nostalgebraist 2020; Patil et al. 2024 (2309.17410); Łucki et al. 2025 (2409.18025)"
    citation = LUCKI
    curve = "layer"

    place: Literal["residual", "attention", "mlp", "mid"] = setting(
        "residual",
        "what is read of a layer: the residual stream behind it, what its attention or its "
        "feed-forward part adds to that, or the stream between the two",
    )
    batch_size: int = setting(8, "answers that are read at a time at most", minimum=1)

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",  # noqa: ARG002
        run: str,  # noqa: ARG002
        splits: "Sequence[Split]",
    ) -> None:
        """Raise `UserError` for a network without such layers, or an item that does not fit it."""
        from unlearnbench.attacking.hidden_states import check_place
        from unlearnbench.attacking.spans import check_spans

        check_place(model, self.place)
        check_spans(model, splits)

    @property
    def n_points(self) -> int:
        """None that tasks measure: each has scores of its own."""
        return 0

    def forward_tokens(self, n_rows: int, length: int) -> int:
        """One pass."""
        return n_rows * length

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """One point a layer, the first layer's first."""
        from unlearnbench.attacking.hidden_states import check_readable
        from unlearnbench.attacking.layer_points import point_of
        from unlearnbench.attacking.spans import batches, forget_spans

        check_readable(model)
        rows = forget_spans(model, target)
        read: dict[int, list[TokenMeans]] = {}  # by row, of each layer
        for chosen, batch in batches(model, rows, self.batch_size):
            read |= zip(chosen, self._read(model, batch), strict=True)
            model.meter.advance(len(read), len(rows))
        for layer in range(len(read[0])):
            of_layer = {doc_id: read[row][layer] for row, doc_id in enumerate(rows.doc_ids)}
            yield point_of(layer, model, of_layer)

    def _read(self, model: "LanguageModel", batch: "Sequences") -> "list[list[TokenMeans]]":
        """[answers][layers]."""
        import torch

        from unlearnbench.attacking.hidden_states import layer_states, unembedded
        from unlearnbench.attacking.spans import SpanTokens

        tokens = SpanTokens.of(batch, model.device)
        with torch.no_grad():
            states = layer_states(model, batch, tokens.positions, self.place)
            by_layer = [tokens.read(unembedded(model, of_layer)) for of_layer in states]
        return [list(of_answer) for of_answer in zip(*by_layer, strict=True)]
