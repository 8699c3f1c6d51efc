"""A sham of an update: a random change of weights, as large as the one that a method made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.settings import setting

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


@dataclass(kw_only=True)
class Noise:
    """Gaussian noise in place of what a method changed, weight matrix by weight matrix.

    Each tensor of the unlearned network becomes theta_0 + E with ||E|| = scale * ||theta_u -
    theta_0|| in the Frobenius norm, E drawn from a normal distribution.  What the method left as
    it was stays so bit for bit.  Adapters count as what they add to the weights once merged, so
    their noise has full rank.  Of a pair of networks that is decoded as one (WHP) each network's
    own update is replaced, and the pair stays a pair.
    """

    name: ClassVar[str] = "noise"
    label: ClassVar[str] = "noise"

    scale: float = setting(1.0, "norm of the noise, as a multiple of the update's", minimum=0)

    def replace_updates(
        self, networks: "Iterable[nn.Module]", original: "Mapping[str, Tensor]", seed: int
    ) -> None:
        """Put noise in place of each network's update of the `original` weights, by their names.

        The draws depend on the seed and on the order and shapes of the weights alone.
        """
        import torch

        from unlearnbench.unlearning.steps import seeded_generator

        random = seeded_generator(seed, "noise")
        with torch.no_grad():
            for network in networks:
                for name, weight in network.named_parameters():
                    # On the CPU, so that the draws are the same whatever the device.
                    start = original[name].to("cpu", torch.float64)
                    norm = float((weight.to("cpu", torch.float64) - start).norm())
                    noise = noise_of_norm(self.scale * norm, weight.shape, random)
                    if norm:
                        weight.copy_(start + noise)


def noise_of_norm(norm: float, shape: "tuple[int, ...]", random: "Generator") -> "Tensor":
    """[shape] float64: Gaussian noise of that Frobenius norm."""
    import torch

    drawn = torch.randn(shape, generator=random, dtype=torch.float64)
    length = float(drawn.norm())
    return drawn * (norm / length if length else 0.0)
