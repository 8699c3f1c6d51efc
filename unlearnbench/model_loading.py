"""Bring a causal language model into memory: alias, hub id or folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.device import Dtype, choose_device, choose_dtype
from unlearnbench.errors import UserError
from unlearnbench.model import LanguageModel
from unlearnbench.model_source import absent, find_folder, resolve, source_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def load_model(
    name: str,
    revision: str | None = None,
    device: str = "auto",
    dtype: Dtype = "auto",
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Load a causal language model with its tokenizer, in eval mode.

    `device` auto is a CUDA device if there is one, else the CPU; 'mps' is taken when
    asked for.  `dtype` auto is float32: 16-bit files are widened.  A model asked for in 16
    bits is trained in them, and loses updates that are under its weights' resolution.
    Only safetensors weights are read, and Python code that comes with a model is run only
    with `trust_remote_code`.

    Raises `UserError` where the model cannot be had or is no causal language model.
    """
    folder = find_folder(name, revision)
    if folder is None:
        raise absent(name, revision)
    target = choose_device(device)[0]
    with _quiet():
        config = read_configuration(folder, trust_remote_code)
        network = _network(folder, config, choose_dtype(dtype), trust_remote_code)
        tokenizer = _tokenizer(folder, trust_remote_code)
    network.to(target)  # type: ignore[arg-type]  # its decorator hides the signature
    return LanguageModel(network, tokenizer, source_of(name, resolve(name)[1], folder))


def read_configuration(folder: Path, trust_remote_code: bool) -> "PretrainedConfig":
    """A model folder's configuration; raises `UserError` if it is no causal language model's."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # each architecture checks its own fields in its own way
        if "trust_remote_code" in str(error):
            raise UserError(
                f"the model in {folder.name} comes with Python code of its own; "
                "read it, then allow it with --trust-remote-code"
            ) from error
        raise UserError(f"cannot read {folder / 'config.json'}: {_line(error)}") from error
    names = getattr(config, "architectures", None) or []
    if names and not any(n.endswith(("ForCausalLM", "LMHeadModel")) for n in names):
        raise UserError(
            f"{folder.name} is a {names[0]}, no causal language model; "
            "see: unlearnbench list models"
        )
    return config


def _network(
    folder: Path, config: "PretrainedConfig", dtype: str, trust_remote_code: bool
) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder),
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except Exception as error:  # safetensors, torch and transformers each have their own kinds
        raise UserError(
            f"cannot load the weights in {folder}: {_line(error)}; download or copy them again"
        ) from error
    network, report = loaded
    # Missing parameters would be drawn at random, and nobody would notice.
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"the weights in {folder} lack {len(missing)} parameters of its config.json "
            f"({missing[0]}, ...); download or copy them again"
        )
    return network


def count_parameters(config: "PretrainedConfig", trust_remote_code: bool = False) -> int:
    """Number of parameters of a configuration, tied ones once; no memory is taken for them."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    network.tie_weights()
    return sum(p.numel() for p in network.parameters())


def _tokenizer(folder: Path, trust_remote_code: bool) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
        if len(tokenizer) > 0:
            return tokenizer
        problem = "it is empty"
    except Exception as error:  # a missing file surfaces as any of half a dozen types
        problem = _line(error)
    raise UserError(
        f"no tokenizer can be read from {folder}: {problem}; "
        "copy tokenizer.json and tokenizer_config.json beside the weights"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no advice from transformers while it loads."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text[:200]}"
