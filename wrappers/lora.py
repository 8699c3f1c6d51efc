"""LoRA: what is trained is a product of two small matrices beside each chosen weight."""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from unlearnbench.errors import UserError, unknown
from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from unlearnbench.models.language_model import LanguageModel

_ADAPTER = "default"  # peft's own name for an only one


@register
@dataclass(kw_only=True)
class Lora(Wrapper):
    """Low-rank adapters by peft: of the chosen layers W + (alpha / rank) B A is trained, W is not.

    B begins at zero, so the first step starts from the original model; there is no dropout.  After
    the training the product is added to W, and the network is an ordinary one again.  Its learning
    rate is the method's, which was tuned for whole weights; adapters mostly want ten times as much.
    """

    name: ClassVar[str] = "lora"
    label: ClassVar[str] = "LoRA"
    source: ClassVar[str] = "Hu et al. 2022, eq. 3"
    citation: ClassVar[str] = """@inproceedings{hu2022lora,
  title = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi
            and Wang, Shean and Wang, Lu and Chen, Weizhu},
  booktitle = {Proceedings of ICLR},
  year = {2022}
}"""
    packages: ClassVar[tuple[str, ...]] = ("peft",)

    rank: int = setting(8, "r: columns of B, rows of A", minimum=1)
    alpha: float = setting(16.0, "the product counts alpha / rank times", above=0)
    target_modules: tuple[str, ...] = setting(
        (),
        "names of the linear layers that get an adapter, or all-linear; default: peft's own for "
        "the architecture, else all-linear",
    )
    keep: Literal["merged", "adapter"] = setting(
        "merged",
        "what --save-models keeps: the merged model, or the adapter beside it as well",
    )

    @property
    def changes_gradients(self) -> bool:
        """It changes what is trained; steps are the method's."""
        return False

    def check(self, method: Any, network: "Callable[[], PreTrainedModel]") -> None:
        """It needs peft, layers of these names, and a method that does not choose what is trained.

        Only adapters are trained: what such a method chooses would be left out unsaid.
        """
        _need_peft()
        made = network()
        self.targets(made)
        if method is not None and not all(method.trains(n) for n, _ in made.named_parameters()):
            raise UserError(
                f"{method.name} with these settings chooses which weights are trained, and LoRA "
                "trains adapters alone; say where they are by --set lora.target_modules=NAME"
            )

    def n_trained(self, network: "PreTrainedModel") -> int:
        """The numbers in all A and B."""
        shapes: list[Any] = [layer.weight.shape for layer in self.targets(network).values()]
        return sum(self.rank * sum(shape) for shape in shapes)

    def targets(self, network: "PreTrainedModel") -> "dict[str, nn.Module]":
        """The layers that get an adapter, by their full names.

        Raises `UserError` naming the nearest layer for a name that no linear layer has.
        """
        layers = _linear_layers(network)
        wanted = self.target_modules or _of_architecture(network.config.model_type)
        if wanted in ((), ("all-linear",)):
            return {name: layer for name, layer in layers.items() if not _is_head(layer, network)}
        chosen: dict[str, nn.Module] = {}
        for one in wanted:
            found = {n: m for n, m in layers.items() if n == one or n.endswith(f".{one}")}
            if not found:
                known = {name.rpartition(".")[2] for name in layers}
                raise unknown(
                    f"linear layer of {type(network).__name__}",
                    one,
                    sorted(known | {"all-linear"}),
                    f"unlearnbench show lora (there are {', '.join(sorted(known))})",
                )
            chosen |= found
        return chosen

    @contextmanager
    def around(self, model: "LanguageModel", seed: int) -> "Iterator[None]":
        """Adapters in the network's layers; afterwards merged into them and gone."""
        network = model.network
        were_trained = [(p, p.requires_grad) for p in network.parameters()]
        config = self._inject(network)
        adapters = _adapters(network)
        _draw(adapters, seed)
        try:
            yield
        finally:
            if self.keep == "adapter":
                weights = _weights_of(adapters)
                config.base_model_name_or_path = model.source.location
                model.saved_beside["adapter"] = partial(_save, config, weights)
            _merge(network, adapters)
            for parameter, was_trained in were_trained:
                parameter.requires_grad_(was_trained)

    def _inject(self, network: "PreTrainedModel") -> Any:
        """Put adapters beside the layers, with only them trained; peft's configuration of them."""
        import warnings

        from unlearnbench.unlearning.steps import global_generators_kept

        _need_peft()
        names = list(self.targets(network))
        with global_generators_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that Conv1D stores its weight transposed
            from peft import LoraConfig, inject_adapter_in_model

            config = LoraConfig(
                r=self.rank,
                lora_alpha=self.alpha,  # type: ignore[arg-type]  # it need not be whole
                lora_dropout=0.0,
                target_modules=names,
                task_type="CAUSAL_LM",
            )
            inject_adapter_in_model(config, network, _ADAPTER)
        return config


def _need_peft() -> None:
    if find_spec("peft") is None:
        raise UserError("the wrapper 'lora' needs peft: pip install 'unlearnbench[lora]'")


def _of_architecture(model_type: str) -> tuple[str, ...]:
    """The layers that peft's authors chose for an architecture; none for one they do not name."""
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as BY_TYPE

    return tuple(BY_TYPE.get(model_type, ()))


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


def _adapters(network: "PreTrainedModel") -> dict[str, Any]:
    """peft's layers by the names of those whose places they have taken."""
    from peft.tuners.lora import LoraLayer

    return {n: m for n, m in network.named_modules() if isinstance(m, LoraLayer)}


def _draw(adapters: dict[str, Any], seed: int) -> None:
    """A as peft draws it, from the cell's seed, and the same on every device; B is zero."""
    import math

    import torch

    from unlearnbench.unlearning.steps import seeded_generator

    random = seeded_generator(seed, "adapter")
    with torch.no_grad():
        for layer in adapters.values():
            a = layer.lora_A[_ADAPTER].weight
            drawn = torch.empty(a.shape)
            torch.nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=random)
            a.copy_(drawn)


def _weights_of(adapters: dict[str, Any]) -> "dict[str, Tensor]":
    """The small matrices under the names that peft's files have for them."""
    return {
        f"base_model.model.{name}.lora_{which}.weight": matrices[_ADAPTER]
        .weight.detach()
        .cpu()
        .clone()
        for name, layer in adapters.items()
        for which, matrices in (("A", layer.lora_A), ("B", layer.lora_B))
    }


def _save(config: Any, weights: "dict[str, Tensor]", folder: "Path") -> None:
    """An adapter as `peft.PeftModel.from_pretrained(base, folder)` reads it."""
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)


def _merge(network: "PreTrainedModel", adapters: dict[str, Any]) -> None:
    """Add each product to its layer's weight, and put the layer back in its place."""
    for name, layer in adapters.items():
        layer.merge()
        network.set_submodule(name, layer.get_base_layer())
    vars(network).pop("peft_config", None)
