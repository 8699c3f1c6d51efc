"""A causal language model by alias, hub id or folder: its facts, and itself in memory."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.models.configuration import (
    check_layers,
    in_one_line,
    read_configuration,
    read_tokenizer,
)
from unlearnbench.models.devices.device import Dtype, choose_device, choose_dtype
from unlearnbench.models.finite import check_finite
from unlearnbench.models.language_model import LanguageModel, ModelSource
from unlearnbench.models.quiet import quiet_transformers
from unlearnbench.models.source import absent, find_folder, resolve, source_of
from unlearnbench.models.weight_files import check_headers, is_pickled, weight_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# What older versions of the library saved and a network makes by itself: causal masks, their fill
# values, position numbers, rotary tables.
_BUFFERS = re.compile(
    r"(attn|attention)\.(masked_)?bias$|position_ids$|rotary_emb\.|\.(inv_freq|embed_positions)$"
)


def load_model(
    name: str,
    revision: str | None = None,
    device: str = "auto",
    dtype: Dtype = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> LanguageModel:
    """Load a causal language model with its tokenizer, in eval mode.

    `device` auto is a CUDA device if there is one, else the CPU; 'mps' is taken when
    asked for.  `dtype` auto is float32: 16-bit files are widened.  A model asked for in 16
    bits is trained in them, and loses updates that are under its weights' resolution.
    Pickled weights are read only with `allow_pickle`, where there are no safetensors, and Python
    code that comes with a model is run only with `trust_remote_code`.

    Raises `UserError` where the model cannot be had, is damaged or is no causal language model:
    how it behaves is looked at in some passes (generation/behaviour.py).
    """
    folder = find_folder(name, revision, allow_pickle=allow_pickle)
    if folder is None:
        raise absent(name, revision)
    target = choose_device(device)[0]
    files = weight_files(folder, allow_pickle)
    from unlearnbench.models.generation.behaviour import behaviour_of
    from unlearnbench.models.gpt_neo import fuse_operations

    with quiet_transformers():
        config = read_configuration(folder, trust_remote_code)
        network = _network(folder, config, files, choose_dtype(dtype), trust_remote_code)
        declared = network.get_expanded_tied_weights_keys(all_submodels=True)
        tied = network.all_tied_weights_keys  # without those whose values differ
        _check_tied(folder, {name: of for name, of in declared.items() if name not in tied})
        tokenizer = read_tokenizer(folder, config.vocab_size, trust_remote_code)
    check_finite(network, folder)
    fuse_operations(network)
    network.to(target)  # type: ignore[arg-type]  # its decorator hides the signature
    model = LanguageModel(network, tokenizer, source_of(name, resolve(name)[1], folder))
    behaviour_of(model)
    return model


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model from its files, before its weights are loaded."""

    source: ModelSource
    architecture: str  # class name, e.g. GPTNeoForCausalLM
    n_parameters: int  # tied ones once
    keeps_columns: bool  # its memory is keys and values per token (docs/models.md)


def model_facts(
    name: str,
    revision: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    download: bool = False,
) -> ModelFacts | None:
    """Identity, architecture and size of a model; None if it is not here and is not fetched.

    Raises `UserError` for a name that stands for no model and for files that are none, are
    damaged or do not belong together.
    """
    from unlearnbench.files.cache import checked_once

    folder = find_folder(name, revision, download, allow_pickle)
    if folder is None:
        return None
    source = source_of(name, resolve(name)[1], folder)
    files = weight_files(folder, allow_pickle)

    def check() -> tuple[str, int, bool]:
        return _check(folder, files, trust_remote_code)

    # Code that comes with a model may say something else each time.
    is_kept = not trust_remote_code and not is_pickled(files)
    question = f"model {source.weights_sha256}"
    return ModelFacts(source, *(checked_once(folder, question, check) if is_kept else check()))


def _check(folder: Path, files: tuple[Path, ...], trust_remote_code: bool) -> tuple[str, int, bool]:
    """The model's facts: all that shows without taking memory."""
    from unlearnbench.models.generation.behaviour import keeps_keys_and_values

    config = read_configuration(folder, trust_remote_code)
    architecture = (getattr(config, "architectures", None) or [type(config).__name__])[0]
    check_layers(folder, check_headers(files))
    with quiet_transformers():
        network = _network(folder, config, files, "float32", trust_remote_code, device_map="meta")
        read_tokenizer(folder, config.vocab_size, trust_remote_code)
    _check_tied(folder, _tied_that_differ(network, files))
    network.tie_weights()  # the loader compares values to tie them, and here there are none
    n_parameters = sum(p.numel() for p in network.parameters())
    return str(architecture), n_parameters, keeps_keys_and_values(network)


def _network(
    folder: Path,
    config: "PretrainedConfig",
    files: tuple[Path, ...],
    dtype: str,
    trust_remote_code: bool,
    **place: str,
) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder),
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=not is_pickled(files),
            weights_only=True,  # of a pickle: tensors, and nothing that acts
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by name
            **place,
        )
    except Exception as error:  # safetensors, torch and transformers each have their own kinds
        raise UserError(
            f"cannot load the weights in {folder}: {in_one_line(error)}; "
            "download or copy them again"
        ) from error
    network, report = loaded
    _check_complete(network, folder, report)
    return network


def _check_complete(network: "PreTrainedModel", folder: Path, report: dict[str, Any]) -> None:
    """Raises `UserError` where file and network differ: another model would be measured."""
    for name, in_file, in_config in sorted(report["mismatched_keys"]):
        raise UserError(
            f"the weights in {folder} do not fit its config.json: {name} is "
            f"{list(in_file)} in the file and {list(in_config)} by config.json; "
            "download or copy both again"
        )
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"the weights in {folder} lack {len(missing)} parameters of its config.json "
            f"({_first(missing)}); download or copy them again"
        )
    if unused := sorted(key for key in report["unexpected_keys"] if not _BUFFERS.search(key)):
        raise UserError(
            f"{type(network).__name__} as config.json has it takes all tensors in {folder} but "
            f"{len(unused)} ({_first(unused)}); copy the config.json they were saved with, or "
            "merge the adapter: merge_and_unload().save_pretrained(folder)"
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _check_tied(folder: Path, apart: dict[str, str]) -> None:
    """Raises `UserError` for tensors that are one by config.json, and differ in the files."""
    for name, other in apart.items():
        raise UserError(
            f"config.json in {folder} ties {name} to {other} (tie_word_embeddings), and the "
            "weights hold two different ones; set tie_word_embeddings to false in it, or remove "
            "the tensor that is not the model's"
        )


def _tied_that_differ(network: "PreTrainedModel", files: tuple[Path, ...]) -> dict[str, str]:
    """Those that the files hold twice; of pickled ones nothing is known before they are loaded."""
    from safetensors import safe_open

    apart = {}
    for pair in network.get_expanded_tied_weights_keys(all_submodels=True).items():
        values = []
        for path in files if not is_pickled(files) else ():
            with safe_open(str(path), framework="pt") as tensors:
                values += [tensors.get_tensor(name) for name in {*pair} & {*tensors.keys()}]
        if len(values) == 2 and not values[0].equal(values[1]):
            apart[pair[0]] = pair[1]
    return apart
