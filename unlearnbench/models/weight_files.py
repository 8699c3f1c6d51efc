"""Which files of a folder hold a model's weights, and whether they are there and whole."""

import json
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
_AGAIN = "download or copy it again"


def weight_files(folder: Path, allow_pickle: bool = False) -> tuple[Path, ...]:
    """The files that a model in this folder is loaded from; pickled ones only where allowed.

    An index may name files of its own folder only.  Raises `UserError` where the weights are
    not there, not all there, or pickled and not allowed.
    """
    if files := _files(folder, SAFE):
        return files
    if allow_pickle and (files := _files(folder, PICKLED)):
        return files
    raise UserError(f"{folder} {_what_it_lacks(folder)}")


def has_weights(folder: Path, allow_pickle: bool = False) -> bool:
    """Whether a folder holds all weights that its model is loaded from."""
    try:
        return bool(weight_files(folder, allow_pickle))
    except UserError:
        return False


def is_pickled(files: tuple[Path, ...]) -> bool:
    """Whether a model's weights are pickled."""
    return any(path.suffix != ".safetensors" for path in files)


def check_headers(files: tuple[Path, ...]) -> int:
    """Read the safetensors files' headers: a half copied file is told now, not in every cell.

    The number of tensors in them; 0 where they are pickled.  Raises `UserError` for a damaged
    one: header and data together must be as long as the file.
    """
    from safetensors import SafetensorError, safe_open

    n_tensors = 0
    for path in files if not is_pickled(files) else ():
        try:
            # numpy: torch need not be loaded to read a header
            with safe_open(str(path), framework="numpy") as tensors:
                n_tensors += len(tensors.keys())
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} is damaged ({str(error)[:80]}); {_AGAIN}") from error
    return n_tensors


def _files(folder: Path, name: str) -> tuple[Path, ...]:
    """The file of that name, and those that its index names; empty if there is neither."""
    index = folder / f"{name}.index.json"
    single = (folder / name,) if (folder / name).is_file() else ()
    return (*single, *_shards(index, Path(name).suffix)) if index.is_file() else single


def _shards(index: Path, suffix: str) -> tuple[Path, ...]:
    files = tuple(index.parent / name for name in sorted(_names(index, suffix)))
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise UserError(
            f"{index.parent} holds no complete {suffix.removeprefix('.')} weights: "
            f"{len(missing)} of {len(files)} files of its index are missing ({missing[0]}); "
            "download or copy them"
        )
    return files


def _names(index: Path, suffix: str) -> set[str]:
    try:
        names: set[Any] = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is damaged: it has no weight_map; {_AGAIN}") from error
    for name in names:
        # A name with a folder in it would lead elsewhere, another suffix to another reader.
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(suffix):
            raise UserError(
                f"{index} names {str(name)!r:.80}, which is no {suffix} file beside it; {_AGAIN}"
            )
    if not names:
        raise UserError(f"{index} is damaged: it names no file; {_AGAIN}")
    return names


def _what_it_lacks(folder: Path) -> str:
    if any(folder.glob("pytorch_model*.bin")):
        return (
            "holds only pickled weights (.bin); rewrite it as safetensors: "
            "from_pretrained(folder).save_pretrained(folder), or load them: --allow-pickle"
        )
    if any(path.is_symlink() and not path.exists() for path in folder.glob("*.safetensors")):
        return "holds links to weights that are gone; download or copy the model again"
    remedy = name_gguf(folder) or f"copy {SAFE} and all its parts into it"
    return f"holds no complete safetensors weights; {remedy}"


def name_gguf(folder: Path) -> str:
    """What to do with a folder in which there is a GGUF file; '' where there is none."""
    files = sorted(folder.glob("*.gguf"))
    return f"name the GGUF file in it: --model {files[0]}" if files else ""
