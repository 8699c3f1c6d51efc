"""Mixing: weights on the straight line from the unlearned model back to the original one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.registry import register
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


@register
@dataclass(kw_only=True)
class Mixing(Attack):
    """Weights between the unlearned model (alpha 0) and the one before unlearning (alpha 1).

    Whoever has the original weights needs no attack; the curve shows how abruptly what was
    unlearned comes back on the way to them.
    """

    name = "mixing"
    label = "Mixing"
    source = "Wang et al. 2024 (2406.09179), section 4"
    needs = ("original model",)
    curve = "share of the original weights"
    counts_in_worst_case = False

    alphas: tuple[float, ...] = setting(
        (0.0, 0.25, 0.5, 0.75, 1.0), "shares of the original weights", minimum=0, maximum=1
    )

    @property
    def n_points(self) -> int:
        """One for each share."""
        return len(set(self.alphas))

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """The model at each share, changed in place.

        Both networks of a pair that is decoded as one (WHP) go back to the original, which is
        what the pair of it and itself answers as.
        """
        from unlearnbench.attacking.weights import mix_weights
        from unlearnbench.models.paired import networks_of

        assert target.load_original is not None
        original = target.load_original().network
        networks = networks_of(model)
        starts = [{n: p.detach().clone() for n, p in net.named_parameters()} for net in networks]
        for alpha in dict.fromkeys(self.alphas):
            for network, start in zip(networks, starts, strict=True):
                mix_weights(network, start, original, alpha)
            yield Point(f"alpha={alpha:g}", f"α = {alpha:g}", model, position=alpha)
