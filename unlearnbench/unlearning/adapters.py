"""Low-rank adapters by peft: which layers get them, and how they are put in and added up."""

import math
import warnings
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn
    from transformers import PreTrainedModel

_ADAPTER = "default"  # peft's own name for an only one
ALL_LINEAR = "all-linear"


def adapted_layers(
    network: "PreTrainedModel", wanted: "Sequence[str]" = (ALL_LINEAR,), see: str = "show lora"
) -> "dict[str, nn.Module]":
    """The layers that get an adapter, by their full names.

    `wanted` are ends of names, or all-linear: every linear layer but the output head.  Raises
    `UserError` naming the nearest layer for a name that no linear layer has.
    """
    layers = _linear_layers(network)
    if tuple(wanted) == (ALL_LINEAR,):
        return {name: layer for name, layer in layers.items() if not _is_head(layer, network)}
    chosen: dict[str, nn.Module] = {}
    for one in wanted:
        found = {n: m for n, m in layers.items() if n == one or n.endswith(f".{one}")}
        if not found:
            known = {name.rpartition(".")[2] for name in layers}
            raise unknown(
                f"linear layer of {type(network).__name__}",
                one,
                sorted(known | {ALL_LINEAR}),
                f"unlearnbench {see} (there are {', '.join(sorted(known))})",
            )
        chosen |= found
    return chosen


def layers_of_architecture(model_type: str) -> tuple[str, ...]:
    """The layers that peft's authors chose for an architecture; none for one they do not name."""
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as BY_TYPE

    return tuple(BY_TYPE.get(model_type, ()))


class Adapters:
    """Of chosen layers W + (alpha / rank) B A is trained, W is not; B is zero at first.

    A is drawn as peft draws it, from `seed`, and the same on every device.
    """

    def __init__(
        self, network: "PreTrainedModel", names: "Sequence[str]", rank: int, alpha: float, seed: int
    ) -> None:
        self._network = network
        self._were_trained = [(p, p.requires_grad) for p in network.parameters()]
        self.config = _inject(network, names, rank, alpha)
        self._layers = _adapted(network)
        self._before: dict[str, Tensor] = {}  # weights as they were before a product was added
        _draw(self._layers, seed)

    def merge(self) -> None:
        """Add each product to its layer's weight, and put the layer back: an ordinary network."""
        for name, layer in self._layers.items():
            layer.merge()
            self._network.set_submodule(name, layer.get_base_layer())
        vars(self._network).pop("peft_config", None)
        for parameter, was_trained in self._were_trained:
            parameter.requires_grad_(was_trained)

    def keep(self) -> None:
        """Leave the products beside the weights for good, which are quantised; nothing trains."""
        for parameter in self._network.parameters():
            parameter.requires_grad_(False)

    def put_aside(self) -> None:
        """`merge` for a while: `bring_back` takes the products away, bit for bit."""
        self._before = {
            name: layer.get_base_layer().weight.detach().clone()
            for name, layer in self._layers.items()
        }
        self.merge()

    def bring_back(self) -> None:
        """The adapters beside the weights again, and only they are trained."""
        import torch

        for parameter, _ in self._were_trained:
            parameter.requires_grad_(False)
        for name, layer in self._layers.items():
            layer.unmerge()
            with torch.no_grad():
                layer.get_base_layer().weight.copy_(self._before.pop(name))
            self._network.set_submodule(name, layer)

    def weights(self) -> "dict[str, Tensor]":
        """The small matrices under the names that peft's files have for them."""
        return {
            f"base_model.model.{name}.lora_{which}.weight": matrices[_ADAPTER]
            .weight.detach()
            .cpu()
            .clone()
            for name, layer in self._layers.items()
            for which, matrices in (("A", layer.lora_A), ("B", layer.lora_B))
        }

    def saved_as(
        self, base: str, before: "Mapping[str, Tensor] | None" = None
    ) -> "tuple[Any, dict[str, Tensor]]":
        """peft's configuration and weights of an adapter of the model that `base` names.

        `before` are products that the base does not have and this network had already, NAME.lora_A
        and NAME.lora_B: the adapter is then the sum of both, W + B A + B' A' = W + [B B'] [A; A'].
        """
        self.config.base_model_name_or_path = base
        if not before:
            return self.config, self.weights()
        return _joined(self.config, base, before, self._own_products())

    def _own_products(self) -> "dict[str, Tensor]":
        made: dict[str, Tensor] = {}
        for name, layer in self._layers.items():
            a, b = (m[_ADAPTER].weight.detach().cpu() for m in (layer.lora_A, layer.lora_B))
            made |= {f"{name}.lora_A": a.clone(), f"{name}.lora_B": b * layer.scaling[_ADAPTER]}
        return made


def _joined(
    own: Any, base: str, before: "Mapping[str, Tensor]", after: "Mapping[str, Tensor]"
) -> "tuple[Any, dict[str, Tensor]]":
    """One adapter that adds both products to each layer, with the factor alpha / rank = 1."""
    import torch
    from peft import LoraConfig

    weights: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for name in dict.fromkeys(key.rpartition(".")[0] for key in (*before, *after)):
        have = [each for each in (before, after) if f"{name}.lora_A" in each]
        a = torch.cat([each[f"{name}.lora_A"].float() for each in have])
        b = torch.cat([each[f"{name}.lora_B"].float() for each in have], dim=1)
        at = f"base_model.model.{name}"
        weights |= {f"{at}.lora_A.weight": a, f"{at}.lora_B.weight": b.contiguous()}
        ranks[name] = len(a)
    most = max(ranks.values())
    others = {name: rank for name, rank in ranks.items() if rank != most}
    config = LoraConfig(
        r=most,
        lora_alpha=most,
        lora_dropout=0.0,
        target_modules=list(ranks),
        rank_pattern=others,
        alpha_pattern=dict(others),
        fan_in_fan_out=own.fan_in_fan_out,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
    )
    return config, weights


def _inject(network: "PreTrainedModel", names: "Sequence[str]", rank: int, alpha: float) -> Any:
    """Put adapters beside the layers, with only them trained; peft's configuration of them."""
    from unlearnbench.unlearning.steps import global_generators_kept

    with global_generators_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Conv1D stores its weight transposed
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # it need not be whole
            lora_dropout=0.0,
            target_modules=list(names),
            task_type="CAUSAL_LM",
        )
        try:
            inject_adapter_in_model(config, network, _ADAPTER)
        except ValueError as error:  # Mamba's layers
            raise UserError(
                f"peft puts no adapters into {type(network).__name__} ({error}); train its whole "
                "weights"
            ) from error
    return config


def _linear_layers(network: "PreTrainedModel") -> "dict[str, nn.Module]":
    """By name; without a head whose weight is the embeddings' too, which a product would move."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    is_tied = bool(network.config.get_text_config().tie_word_embeddings)
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and not (is_tied and _is_head(module, network))
    }


def _is_head(module: "nn.Module", network: "PreTrainedModel") -> bool:
    return module is network.get_output_embeddings()


def _adapted(network: "PreTrainedModel") -> dict[str, Any]:
    """peft's layers by the names of those whose places they have taken."""
    from peft.tuners.lora import LoraLayer

    return {n: m for n, m in network.named_modules() if isinstance(m, LoraLayer)}


def _draw(layers: dict[str, Any], seed: int) -> None:
    """A as peft draws it, the same on every device; B is zero."""
    import torch

    from unlearnbench.unlearning.steps import seeded_generator

    random = seeded_generator(seed, "adapter")
    with torch.no_grad():
        for layer in layers.values():
            a = layer.lora_A[_ADAPTER].weight
            drawn = torch.empty(a.shape)
            torch.nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=random)
            a.copy_(drawn)
