"""A model folder's config.json: what it says, and that it asks for nothing foreign."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

ADAPTER_CONFIG = "adapter_config.json"  # of a folder that peft's save_pretrained wrote
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")


def read_configuration(folder: Path, trust_remote_code: bool) -> "PretrainedConfig":
    """A model folder's configuration; raises `UserError` if it is no causal language model's."""
    from transformers import AutoConfig

    _check_foreign(folder, trust_remote_code)
    try:
        config = AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # each architecture checks its own fields in its own way
        if "trust_remote_code" in str(error):
            raise _has_code(folder) from error
        raise UserError(f"cannot read {folder / 'config.json'}: {in_one_line(error)}") from error
    names = getattr(config, "architectures", None) or []
    if names and not any(str(n).endswith(("ForCausalLM", "LMHeadModel")) for n in names):
        raise UserError(
            f"{folder.name} is a {names[0]}, no causal language model; "
            "see: unlearnbench list models"
        )
    if not isinstance(getattr(config, "vocab_size", None), int):
        raise UserError(f"cannot read {folder / 'config.json'}: it has no vocab_size")
    return config


def check_layers(folder: Path, n_tensors: int) -> None:
    """Raises `UserError` for more layers than tensors: building them alone could take hours."""
    declared = raw_configuration(folder)
    layers = max((n for name in _LAYERS if type(n := declared.get(name)) is int), default=0)
    if 0 < n_tensors < layers:
        raise UserError(
            f"{folder / 'config.json'} declares {layers} layers, and the weights hold {n_tensors} "
            "tensors; download or copy both again"
        )


def raw_configuration(folder: Path, name: str = "config.json") -> Mapping[str, Any]:
    """What stands in a JSON file of a model folder; raises `UserError` if it holds no object."""
    path = folder / name
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: it is no JSON ({in_one_line(error)})") from error
    if not isinstance(content, dict):
        raise UserError(f"cannot read {path}: it holds no JSON object; copy it again")
    return content


def in_one_line(error: Exception) -> str:
    """An error's kind and the beginning of its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _check_foreign(folder: Path, trust_remote_code: bool) -> None:
    """What transformers would follow out of the folder, or run, on the word of a JSON file."""
    declared = raw_configuration(folder)
    kernels = [value for name, value in declared.items() if name.endswith("_implementation")]
    if any("/" in str(value) for value in kernels) and not trust_remote_code:
        raise _has_code(folder)  # owner/name is a kernel, fetched from the hub and run
    if "transformers_weights" in declared:
        raise UserError(
            f"{folder / 'config.json'} names its weights (transformers_weights), which is not "
            "followed; call them model.safetensors and remove it"
        )
    _check_adapter(folder)


def _check_adapter(folder: Path) -> None:
    """Raises `UserError` for an adapter beside a whole model: transformers would apply it."""
    if (folder / ADAPTER_CONFIG).is_file():
        base = raw_configuration(folder, ADAPTER_CONFIG).get("base_model_name_or_path")
        raise UserError(
            f"{folder} holds an adapter of {base or 'a model it does not name'} beside a whole "
            f"model ({ADAPTER_CONFIG}), and which of them is meant is not said; move the adapter's "
            "files into a folder of their own and give that one"
        )


def _has_code(folder: Path) -> UserError:
    return UserError(
        f"the model in {folder.name} comes with Python code of its own; "
        "read it, then allow it with --trust-remote-code"
    )


def read_tokenizer(
    folder: Path, vocabulary_size: int, trust_remote_code: bool = False
) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model that knows the ids under `vocabulary_size`.

    A special token that stands in a text is plain text to it: `[PAD]` is five characters.
    Raises `UserError` if there is none, it is damaged, or it has ids that the model has not.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
        ids = tokenizer.get_vocab()
        problem = "" if ids else "it is empty"
    except Exception as error:  # a missing file surfaces as any of half a dozen types
        problem = _tokenizer_problem(folder, error)
    if problem:
        raise UserError(
            f"no tokenizer can be read from {folder}: {problem}; "
            "copy tokenizer.json and tokenizer_config.json beside the weights"
        )
    # No text has these, unless a model that knows them wrote it: often one added for padding.
    special = set(tokenizer.all_special_tokens)
    _check_ids(folder, {t: i for t, i in ids.items() if t not in special}, vocabulary_size)
    tokenizer.split_special_tokens = True
    _declare_bos(tokenizer, folder)
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path, **options: Any) -> None:
    """Write a tokenizer so that texts start with a BOS where they do here.

    Whether they do may be declared in its folder alone, and saving forgets it.  `options` are
    those of `save_pretrained`.
    """
    tokenizer.save_pretrained(folder, **options)
    declared = getattr(tokenizer, "init_kwargs", {}).get("add_bos_token")
    if declared is not None:
        settings = {**raw_configuration(folder, "tokenizer_config.json"), "add_bos_token": declared}
        write_json(folder / "tokenizer_config.json", settings)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file as people can read it."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _declare_bos(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    """Remember whether the folder says that texts start with a BOS.

    transformers forgets it where there is a tokenizer.json, which mostly says it by itself.
    """
    if (folder / "tokenizer_config.json").is_file():
        declared = raw_configuration(folder, "tokenizer_config.json").get("add_bos_token")
        if isinstance(declared, bool):
            tokenizer.init_kwargs.setdefault("add_bos_token", declared)


def _check_ids(folder: Path, ids: dict[str, int], vocabulary_size: int) -> None:
    highest = max(ids, key=lambda token: ids[token], default="")
    if ids.get(highest, 0) >= vocabulary_size:
        raise UserError(
            f"the tokenizer in {folder} is not this model's: its token {highest[:40]!r} has id "
            f"{ids[highest]} and the model knows ids 0 to {vocabulary_size - 1}; copy the model's "
            "own tokenizer.json and tokenizer_config.json"
        )


def _tokenizer_problem(folder: Path, error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return "it comes with Python code of its own; read it, then allow it: --trust-remote-code"
    # The tokenizers library raises a bare Exception for a file that is cut short.
    name = "" if (folder / "tokenizer.json").is_file() else "no tokenizer.json, "
    return name + in_one_line(error)
