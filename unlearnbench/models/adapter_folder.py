"""An adapter folder of peft's (LoRA and its kin) as a model folder: its base with the adapter in.

The base is read in float32, the adapter is added to its weights, and the sum is kept in the cache:
what is measured and unlearned then is an ordinary network.
"""

import shutil
import warnings
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.files.hashing import files_sha256, text_sha256
from unlearnbench.files.software import code_of, versions_of
from unlearnbench.models.configuration import (
    ADAPTER_CONFIG,
    in_one_line,
    raw_configuration,
    read_configuration,
    read_tokenizer,
)
from unlearnbench.models.finite import check_finite
from unlearnbench.models.kept_folders import kept_folder, megabytes
from unlearnbench.models.network_files import read_network
from unlearnbench.models.quiet import quiet_transformers
from unlearnbench.models.weight_files import weight_files

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

ADAPTER_WEIGHTS = "adapter_model.safetensors"
# Within a merged folder, of a plain LoRA: its matrices, B with its factor.  They are no weights of
# the network, so the file's name is none that is read as such.
_PRODUCTS = "adapter_products"
_NAME = "default"  # peft's own for an only adapter
_READ_BY = ("peft", "transformers", "safetensors", "torch")
_TOKENIZER = ("tokenizer*", "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.jinja",
              "special_tokens_map.json", "added_tokens.json")  # fmt: skip
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal")  # of B A: those that leave W alone


@dataclass(frozen=True)
class MergedAdapter:
    """What a network was read from that is a base with an adapter in it."""

    base: str  # as peft loads it: a hub id, an alias, a path
    folder: Path  # of the two together

    def products(self) -> "dict[str, Tensor]":
        """What was added to the base: NAME.lora_A [r, in], NAME.lora_B [out, r], the layer W + B A.

        Raises `UserError` where the adapter is more than plain LoRA, whose sum with another is
        none.
        """
        from safetensors.torch import load_file

        if not (self.folder / _PRODUCTS).is_file():
            raise UserError(
                f"the adapter of {self.base} is more than plain LoRA, so it and another cannot be "
                "saved as one; keep the whole model: --set lora.keep=merged"
            )
        return load_file(self.folder / _PRODUCTS)


def need_peft(user: str) -> None:
    """Raise `UserError` where peft is not installed; `user` is who asks for it."""
    if find_spec("peft") is None:
        raise UserError(f"{user} needs peft: pip install 'unlearnbench[lora]'")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def base_name(folder: Path) -> str:
    """The model that an adapter is of, as its folder names it; raises `UserError` for none."""
    named = raw_configuration(folder, ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(named, str) or not named.strip():
        raise UserError(
            f"{folder / ADAPTER_CONFIG} does not name the model that the adapter is of; write its "
            "folder, alias or hub id there as base_model_name_or_path"
        )
    return named


def merged_folder(folder: Path, base: Path, base_sha256: str, allow_pickle: bool = False) -> Path:
    """The folder in the cache with an adapter's base and the adapter added to its weights.

    It is found again by the content of both and the libraries that add them up.  Raises
    `UserError` where peft is not installed, the adapter is damaged, does not fit the base, or is
    of a kind that cannot be added to weights.
    """
    need_peft(f"the adapter in {folder}")
    _check(folder)
    own = [path for pattern in _TOKENIZER for path in folder.glob(pattern)]
    files = {folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS, *own}
    try:
        digest = files_sha256(files, folder)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}; copy it again") from error
    code = code_of(Path(__file__).read_text(encoding="utf-8"))
    key = text_sha256(base_sha256, digest, repr(sorted(versions_of(_READ_BY).items())), code)
    write = partial(_merge, folder, base, allow_pickle)
    return kept_folder("adapters", key, folder.name, write)


def _check(folder: Path) -> None:
    declared = raw_configuration(folder, ADAPTER_CONFIG)
    if (task := declared.get("task_type")) not in (None, "CAUSAL_LM"):
        raise UserError(
            f"the adapter in {folder} is for {task!s:.40}, no causal language model "
            f"({ADAPTER_CONFIG}: task_type); give another"
        )
    # peft would import a module of the name that stands there.
    if declared.get("megatron_config"):
        raise UserError(f"the adapter in {folder} is for Megatron, which unlearnbench has not")
    if (folder / ADAPTER_WEIGHTS).is_file():
        return
    if (folder / "adapter_model.bin").is_file():
        raise UserError(
            f"{folder} holds pickled adapter weights (adapter_model.bin), which are not loaded; "
            "save it as safetensors: save_pretrained(folder)"
        )
    raise UserError(f"{folder} holds no {ADAPTER_WEIGHTS}; download or copy the adapter again")


def _merge(folder: Path, base: Path, allow_pickle: bool, new: Path) -> None:
    with quiet_transformers():
        config = read_configuration(base, trust_remote_code=False)
        files = weight_files(base, allow_pickle)
        network = read_network(base, config, files, "float32", trust_remote_code=False)
        merged, products = _merged(network, folder)
        check_finite(merged, folder)
        merged.save_pretrained(new)
        _copy_tokenizer(folder if (folder / "tokenizer_config.json").is_file() else base, new)
        read_tokenizer(new, merged.config.get_text_config().vocab_size)
    if products:
        from safetensors.torch import save_file

        save_file(products, new / _PRODUCTS)
    warnings.warn(
        f"{folder.name}: its base with the adapter added is kept as float32 in the cache, "
        f"{megabytes(new)}, so that they are added up once only",
        stacklevel=2,
    )


def _copy_tokenizer(source: Path, new: Path) -> None:
    for pattern in _TOKENIZER:
        for path in source.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, new / path.name)


def _merged(
    network: "PreTrainedModel", folder: Path
) -> "tuple[PreTrainedModel, dict[str, Tensor]]":
    """The network with the adapter in its weights, and the products that were added to them."""
    from peft import PeftConfig, PeftModelForCausalLM

    names = set(network.state_dict())
    try:
        config = PeftConfig.from_pretrained(str(folder))
        if config.is_prompt_learning:
            raise UserError(
                f"the adapter in {folder} is a {config.peft_type.value}, which acts beside the "
                "weights and cannot be added to them; give a LoRA"
            )
        _resize(network, folder)
        config.inference_mode = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: Any = PeftModelForCausalLM(network, config, _NAME)
            report = model.load_adapter(str(folder), _NAME, torch_device="cpu")
            _check_complete(folder, report)
            products = _products(model, config)
            merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    except UserError:
        raise
    except Exception as error:  # peft, safetensors and torch each have their own kinds
        raise UserError(
            f"cannot add the adapter in {folder} to its base: {in_one_line(error)}; give the base "
            "that it was trained on, or merge it where it was trained: "
            "merge_and_unload().save_pretrained(folder)"
        ) from error
    if set(merged.state_dict()) != names:
        raise UserError(
            f"the adapter in {folder} changes which weights its base has, so that no config.json "
            "describes it; give another"
        )
    return merged, products


def _resize(network: "PreTrainedModel", folder: Path) -> None:
    """Give the network the rows for new tokens that an adapter brings trained embeddings for."""
    from safetensors import safe_open

    embeddings = network.get_input_embeddings()
    name = next(name for name, module in network.named_modules() if module is embeddings)
    with safe_open(str(folder / ADAPTER_WEIGHTS), framework="pt") as tensors:
        whole = f"base_model.model.{name}.weight"
        if whole not in tensors.keys():  # noqa: SIM118 - it is no mapping
            return
        n_tokens = tensors.get_slice(whole).get_shape()[0]
    if n_tokens != network.config.get_text_config().vocab_size:
        network.resize_token_embeddings(n_tokens)


def _check_complete(folder: Path, report: Any) -> None:
    """Raises `UserError` where adapter and network differ: another model would be measured."""
    for names, what in (
        (report.unexpected_keys, "which its base has no place for"),
        (report.missing_keys, "which are not in its file"),
    ):
        if names:
            raise UserError(
                f"the adapter in {folder} has {len(names)} tensors ({sorted(names)[0]}) {what}; "
                f"give the base that it was trained on ({ADAPTER_CONFIG})"
            )


def _products(model: Any, config: Any) -> "dict[str, Tensor]":
    """[r, in] A and [out, r] scaled B of each layer; none where it is more than plain LoRA."""
    from peft.tuners.lora import LoraLayer

    network: Any = model.base_model.model
    layers: dict[str, Any] = {
        name: module for name, module in network.named_modules() if isinstance(module, LoraLayer)
    }
    special = ("use_dora", "modules_to_save", "lora_bias", "target_parameters",
               "layer_replication", "alora_invocation_tokens", "use_qalora",
               "trainable_token_indices")  # fmt: skip
    is_plain = (
        layers
        and config.peft_type.value == "LORA"
        and config.bias == "none"
        and config.init_lora_weights in _PLAIN_STARTS
        and not any(getattr(config, name, None) for name in special)
        and all(_NAME in layer.lora_A for layer in layers.values())
    )
    if not is_plain:
        return {}
    made: dict[str, Any] = {}
    for name, layer in layers.items():
        a, b = layer.lora_A[_NAME].weight, layer.lora_B[_NAME].weight
        made[f"{name}.lora_A"] = a.detach().float().contiguous()
        made[f"{name}.lora_B"] = (b.detach().float() * layer.scaling[_NAME]).contiguous()
    return made
