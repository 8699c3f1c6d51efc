"""A causal language model by alias, hub id or folder: its facts, and itself in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.models.configuration import (
    check_layers,
    read_configuration,
    read_tokenizer,
)
from unlearnbench.models.devices.device import Dtype, choose_device, choose_dtype
from unlearnbench.models.finite import check_finite
from unlearnbench.models.language_model import LanguageModel, ModelSource
from unlearnbench.models.network_files import read_network
from unlearnbench.models.quantised import Bits, check_quantisation, loading_options, prepare
from unlearnbench.models.quiet import quiet_transformers
from unlearnbench.models.source import absent, find_folder, merged_adapter, resolve, source_of
from unlearnbench.models.weight_files import check_headers, is_pickled, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_model(
    name: str,
    revision: str | None = None,
    device: str = "auto",
    dtype: Dtype = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    quantise_base: Bits = "no",
) -> LanguageModel:
    """Load a causal language model with its tokenizer, in eval mode.

    `device` auto is a CUDA device if there is one, else the CPU; 'mps' is taken when
    asked for.  `dtype` auto is float32: 16-bit files are widened.  A model asked for in 16
    bits is trained in them, and loses updates that are under its weights' resolution.
    Pickled weights are read only with `allow_pickle`, where there are no safetensors, and Python
    code that comes with a model is run only with `trust_remote_code`.  Of a base in 8 or 4 bits,
    `quantise_base`, only adapters beside it can be trained.

    Raises `UserError` where the model cannot be had, is damaged or is no causal language model:
    how it behaves is looked at in some passes (generation/behaviour.py).
    """
    folder = find_folder(name, revision, allow_pickle=allow_pickle)
    if folder is None:
        raise absent(name, revision)
    target = choose_device(device)[0]
    check_quantisation(quantise_base, target)
    files = weight_files(folder, allow_pickle)
    from unlearnbench.models.generation.behaviour import behaviour_of
    from unlearnbench.models.gpt_neo import fuse_operations

    with quiet_transformers():
        config = read_configuration(folder, trust_remote_code)
        packed = quantise_base != "no"
        place = loading_options(quantise_base, choose_dtype(dtype), target) if packed else {}
        network = read_network(
            folder, config, files, choose_dtype(dtype), trust_remote_code, **place
        )
        declared = network.get_expanded_tied_weights_keys(all_submodels=True)
        tied = network.all_tied_weights_keys  # without those whose values differ
        _check_tied(folder, {name: of for name, of in declared.items() if name not in tied})
        tokenizer = read_tokenizer(folder, config.vocab_size, trust_remote_code)
    check_finite(network, folder)
    if packed:
        prepare(network)
    else:
        fuse_operations(network)
        network.to(target)  # type: ignore[arg-type]  # its decorator hides the signature
    model = LanguageModel(
        network,
        tokenizer,
        source_of(name, resolve(name)[1], folder),
        merged_adapter=merged_adapter(name, folder),
    )
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
        network = read_network(
            folder, config, files, "float32", trust_remote_code, device_map="meta"
        )
        read_tokenizer(folder, config.vocab_size, trust_remote_code)
    _check_tied(folder, _tied_that_differ(network, files))
    network.tie_weights()  # the loader compares values to tie them, and here there are none
    n_parameters = sum(p.numel() for p in network.parameters())
    return str(architecture), n_parameters, keeps_keys_and_values(network)


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
