"""The weights that an attack changes: those of linear layers, in every network of a model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from unlearnbench.errors import UserError
from unlearnbench.models.paired import networks_of

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


def linear_layers(network: Any) -> dict[str, nn.Module]:
    """The linear layers by name, but for the output head and what shares the embeddings' weight.

    Those are the ones that bitsandbytes replaces when transformers loads a network in 4 or 8 bits.
    """
    head, embeddings = network.get_output_embeddings(), network.get_input_embeddings()
    tied = getattr(embeddings, "weight", None)
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and module.weight is not tied
    }


def as_matrix(layer: nn.Module, weight: Tensor | None = None) -> Tensor:
    """[outputs, inputs] a view of a layer's weight; GPT-2's Conv1D keeps it transposed.

    Of `weight`, which is laid out as the layer's, where it is given.
    """
    laid_out: Any = layer.weight if weight is None else weight
    matrix: Tensor = laid_out.detach()
    return matrix.T if isinstance(layer, Conv1D) else matrix


def check_linear_layers(attack: str, model: "LanguageModel") -> dict[str, nn.Module]:
    """The network's linear layers; raises `UserError` if it has none."""
    layers = linear_layers(model.network)
    if not layers:
        raise UserError(
            f"attack '{attack}' changes linear layers, and {type(model.network).__name__} "
            f"({model.source.name}) has none beside its output head; leave the attack out"
        )
    return layers


def _copied(matrix: Tensor) -> Tensor:
    # Apple's GPUs have no double precision, in which some of what is computed of weights is.
    return matrix.to("cpu" if matrix.device.type == "mps" else matrix.device, copy=True)


@dataclass(frozen=True)
class LinearWeights:
    """The linear layers of all networks of a model, with their weights as they were found."""

    layers: dict[str, nn.Module]
    kept: dict[str, Tensor]

    @classmethod
    def of(cls, model: "LanguageModel") -> "LinearWeights":
        """Those of the model as it is now; a pair's second network's stand behind the first's."""
        layers = {
            f"{place}.{name}": layer
            for place, network in enumerate(networks_of(model))
            for name, layer in linear_layers(network).items()
        }
        return cls(layers, {name: _copied(as_matrix(layer)) for name, layer in layers.items()})

    @property
    def n_weights(self) -> int:
        """Of all layers together."""
        return sum(weight.numel() for weight in self.kept.values())

    @torch.no_grad()
    def put(self, name: str, matrix: Tensor) -> None:
        """Set a layer's weight to [outputs, inputs] `matrix`, in its own precision."""
        as_matrix(self.layers[name]).copy_(matrix)

    def restore(self) -> None:
        """Every weight as it was found, bit for bit."""
        for name, weight in self.kept.items():
            self.put(name, weight)

    def originals(self, original: "LanguageModel") -> Iterator[tuple[Tensor, Tensor]]:
        """Each layer's matrix as it was found, and the one of the model before unlearning.

        Both networks of a pair began as that model.  Raises `UserError` for a network of other
        weights.
        """
        before: Mapping[str, nn.Module] = linear_layers(original.network)
        for name, weight in self.kept.items():
            own_name = name.partition(".")[2]
            matrix = as_matrix(before[own_name]) if own_name in before else None
            if matrix is None or matrix.shape != weight.shape:
                raise UserError(
                    f"the model before unlearning ({original.source.name}) has no layer "
                    f"{own_name} of that shape"
                )
            yield weight, matrix.to(weight.device)


def mix_weights(
    network: nn.Module, start: Mapping[str, Tensor], end: nn.Module, alpha: float
) -> None:
    """Set each weight to (1 - alpha) start + alpha end; exactly one of them at 0 and at 1.

    Raises `UserError` for networks of other weights.
    """
    ends = dict(end.named_parameters())
    with torch.no_grad():
        for name, weight in network.named_parameters():
            other = ends.get(name)
            if other is None or other.shape != weight.shape:
                raise UserError(f"the original model has no weight {name} of that shape")
            weight.copy_(_between(start[name], other.detach().to(weight), alpha))


def _between(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) start + alpha end; at its ends bit for bit, the sign of a zero included."""
    if alpha in (0, 1):
        return end if alpha else start
    return torch.lerp(start, end, alpha)
