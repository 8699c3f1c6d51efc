"""LoRA: what is trained is a product of two small matrices beside each chosen weight."""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from unlearnbench.errors import UserError
from unlearnbench.models.adapter_folder import need_peft
from unlearnbench.models.quantised import is_quantised
from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.adapters import (
    ALL_LINEAR,
    Adapters,
    adapted_layers,
    layers_of_architecture,
)
from unlearnbench.unlearning.wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from unlearnbench.models.language_model import LanguageModel

_NAME = "the wrapper 'lora'"  # as its errors call it


@register
@dataclass(kw_only=True)
class Lora(Wrapper):
    """Low-rank adapters by peft: of the chosen layers W + (alpha / rank) B A is trained, W is not.

    B begins at zero, so the first step starts from the original model; there is no dropout.  After
    the training the product is added to W, and the network is an ordinary one again; beside a
    quantised W it stays, and the adapter is what is saved.  Its learning
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

    rank: int = setting(8, "r: columns of B, rows of A", minimum=1, search="4,8,16,32")
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
        need_peft(_NAME)
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
        wanted = self.target_modules or layers_of_architecture(network.config.model_type)
        return adapted_layers(network, wanted or (ALL_LINEAR,))

    @contextmanager
    def around(self, model: "LanguageModel", seed: int) -> "Iterator[None]":
        """Adapters in the network's layers; afterwards merged into them and gone."""
        network = model.network
        need_peft(_NAME)
        if model.saved_instead is not None:
            raise UserError(
                f"{model.source.name} has an adapter beside its quantised base already; load it "
                "anew"
            )
        is_beside = self.keep == "adapter" and not is_quantised(network)
        save = _to_save(model) if is_beside else None
        adapters = Adapters(network, list(self.targets(network)), self.rank, self.alpha, seed)
        try:
            yield
        finally:
            if save is not None:
                model.saved_beside["adapter"] = partial(_save, *save(adapters))
            if is_quantised(network):
                model.saved_instead = partial(_save, *_to_save(model)(adapters))
                adapters.keep()
            else:
                adapters.merge()


def _to_save(model: "LanguageModel") -> "Callable[[Adapters], tuple[Any, dict[str, Tensor]]]":
    """What makes configuration and weights of a trained adapter, of the base as peft loads it.

    Of a model that was read from an adapter's folder they are both adapters in one.
    """
    merged = model.merged_adapter
    if merged is None:
        return lambda trained: trained.saved_as(_base_of(model))
    before = merged.products()
    return lambda trained: trained.saved_as(merged.base, before)


def _base_of(model: "LanguageModel") -> str:
    """A hub id or alias; of a folder its path, which is no part of a result."""
    location = model.source.location
    path = Path(getattr(model.network, "name_or_path", ""))
    return str(path) if path.is_dir() and path.name == location else location


def _save(config: Any, weights: "dict[str, Tensor]", folder: Path) -> None:
    """An adapter as `peft.PeftModel.from_pretrained(base, folder)` reads it."""
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
