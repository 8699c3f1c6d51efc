"""Direction ablation: what unlearning added to the residual stream is projected out of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting

from ._citations import LUCKI

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel


@register
@dataclass(kw_only=True)
class Direction(Attack):
    """Takes out of each layer's output the direction in which unlearned and original model differ.

    A method that steers a model's states away from what it knows (RMU) is undone by that; the model
    before unlearning differs nowhere from itself, so it is left as it is.
    """

    name = "direction"
    label = "Direction ablation"
    source = "Łucki et al. 2025 (2409.18025), after Arditi et al. 2024 (2406.11717)"
    citation = LUCKI
    needs = ("original model",)
    curve = "strength of the ablation"

    how: Literal["mean", "pca"] = setting(
        "mean",
        "the difference of the two models' mean states, or the first principal axis of the "
        "tokens' differences",
    )
    layers: tuple[int, ...] = setting(
        (), "layers whose output it is taken out of, each by its own; none: all of them", minimum=0
    )
    strengths: tuple[float, ...] = setting(
        (1.0,), "shares of a state's part along the direction that are taken away", minimum=0
    )
    skip: int = setting(
        40,
        "first tokens of each prefix that are not looked at; of a shorter prefix the first half",
        minimum=0,
    )
    outlier: float = setting(
        3.0,
        "tokens are not looked at whose original state's mean L1 distance to the others has a "
        "z-score over this",
        above=0,
    )
    tokens: int = setting(
        2500,
        "most tokens that are looked at, evenly spaced over all prefixes",
        minimum=1,
        source="the released code, of its principal axis",
    )

    @property
    def n_points(self) -> int:
        """One for each strength."""
        return len(set(self.strengths))

    def forward_tokens(self, n_rows: int, length: int) -> int:
        """Each row through both models."""
        return 2 * n_rows * length

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",  # noqa: ARG002
        run: str,  # noqa: ARG002
        splits: "Sequence[Split]",  # noqa: ARG002
    ) -> None:
        """Raises `UserError` for a layer that the network has not, or that cannot be told."""
        from unlearnbench.attacking.hidden_states import readable_layers

        n_layers = len(readable_layers(model))
        if beyond := [layer for layer in self.layers if layer >= n_layers]:
            raise UserError(
                f"direction.layers={beyond[0]}: {model.source.name} has {n_layers} layers, 0 to "
                f"{n_layers - 1}; e.g. --set direction.layers={n_layers // 2}"
            )

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """The model with the directions taken out at each strength; its weights stay."""
        from unlearnbench.attacking.directions import ablated

        directions = self._directions(model, target)
        facts = {"ablated_layers": float(sum(map(len, directions)))}
        for strength in dict.fromkeys(self.strengths):
            with ablated(model, directions, strength):
                name, label = f"strength={strength:g}", f"strength {strength:g}"
                yield Point(name, label, model, position=strength, facts=facts)

    def _directions(self, model: "LanguageModel", target: Target) -> "list[dict[int, Tensor]]":
        """Of each of the model's networks, by layer; none of a layer where they do not differ."""
        from unlearnbench.attacking.directions import (
            direction_between,
            prefix_tokens,
            residual_states,
        )
        from unlearnbench.attacking.hidden_states import readable_layers

        assert target.load_original is not None
        rows, batch_size = target.forget_set.rows, target.context.batch_size
        tokens = prefix_tokens(rows, self.skip, self.tokens)
        if not tokens.any():
            raise UserError(
                f"forget set '{target.forget_set.name}' gives the model no prefix in any row, and "
                "direction ablation looks at nothing else; leave the attack out"
            )
        layers = sorted(set(self.layers)) or list(range(len(readable_layers(model))))
        unlearned = residual_states(model, rows, tokens, layers, batch_size)
        (original,) = residual_states(target.load_original(), rows, tokens, layers, batch_size)
        between = [
            {n: direction_between(own[n], original[n], self.how, self.outlier) for n in layers}
            for own in unlearned
        ]
        return [{n: v for n, v in own.items() if v is not None} for own in between]
