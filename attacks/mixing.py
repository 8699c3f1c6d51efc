"""Mixing: weights on the straight line from the unlearned model back to the original one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from torch import Tensor, nn

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
        from unlearnbench.models.paired import networks_of

        assert target.load_original is not None
        original = target.load_original().network
        networks = networks_of(model)
        starts = [{n: p.detach().clone() for n, p in net.named_parameters()} for net in networks]
        for alpha in dict.fromkeys(self.alphas):
            for network, start in zip(networks, starts, strict=True):
                mix_weights(network, start, original, alpha)
            yield Point(f"alpha={alpha:g}", f"α = {alpha:g}", model, position=alpha)


def mix_weights(
    network: "nn.Module", start: "Mapping[str, Tensor]", end: "nn.Module", alpha: float
) -> None:
    """Set each weight to (1 - alpha) start + alpha end; exactly one of them at 0 and at 1.

    Raises `UserError` for networks of other weights.
    """
    import torch

    ends = dict(end.named_parameters())
    with torch.no_grad():
        for name, weight in network.named_parameters():
            other = ends.get(name)
            if other is None or other.shape != weight.shape:
                raise UserError(f"mixing: the original model has no weight {name} of that shape")
            weight.copy_(_between(start[name], other.detach().to(weight), alpha))


def _between(start: "Tensor", end: "Tensor", alpha: float) -> "Tensor":
    """(1 - alpha) start + alpha end; at its ends bit for bit, the sign of a zero included."""
    import torch

    if alpha in (0, 1):
        return end if alpha else start
    return torch.lerp(start, end, alpha)
