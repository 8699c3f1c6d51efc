"""Models beside the measured one, a BERT or a sentence encoder: data, whatever a run allows."""

import json
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.models.configuration import raw_configuration
from unlearnbench.models.weight_files import has_weights


def data_only(folder: Path, what: str, flag: str) -> Path:
    """The folder, if its model is loaded without unpickling anything or running code of its own.

    `what` it is and the `flag` that names it stand in the message.  Raises `UserError` otherwise.
    """
    _check_pickles(folder, what, flag)
    _check_code(folder, what, flag)
    _check_modules(folder, what, flag)
    return folder


def _check_pickles(folder: Path, what: str, flag: str) -> None:
    # Modules of a sentence encoder have folders and weights of their own.
    for place in (folder, *sorted(path for path in folder.glob("[0-9]*_*") if path.is_dir())):
        pickles = sorted(path.name for path in place.glob("*.bin"))
        if pickles and not has_weights(place):
            raise UserError(
                f"{what} in {place} holds only pickled weights ({pickles[0]}), which are not "
                f"loaded; rewrite them as safetensors, or give another: {flag} DIR"
            )


def _check_code(folder: Path, what: str, flag: str) -> None:
    """Without this transformers would ask at the terminal whether to run it."""
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file() and "auto_map" in raw_configuration(folder, name):
            raise UserError(
                f"{what} in {folder} comes with Python code of its own ({name}: auto_map), which "
                f"is not run; give another: {flag} DIR"
            )


def _check_modules(folder: Path, what: str, flag: str) -> None:
    for module in _modules(folder / "modules.json"):
        if not module.startswith("sentence_transformers."):
            raise UserError(
                f"{what} in {folder} is made of '{module[:80]}', which is no part of "
                f"sentence-transformers and is not run; give another: {flag} DIR"
            )


def _modules(path: Path) -> list[str]:
    """The classes that a sentence encoder's modules.json names."""
    if not path.is_file():
        return []
    try:
        return [str(module["type"]) for module in json.loads(path.read_bytes())]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: it lists no modules; copy it again") from error
