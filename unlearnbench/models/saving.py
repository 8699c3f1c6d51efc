"""Keeps an unlearned model as a folder that any tool can load: whole, or not at all.

One that is a pair of networks is a folder with two such folders in it (models/paired.py); one whose
base is quantised is an adapter of that base."""

from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import whole_folder
from unlearnbench.models.configuration import save_tokenizer
from unlearnbench.models.devices import ranks
from unlearnbench.models.quiet import quiet_transformers

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


def save_model(model: "LanguageModel", folder: Path) -> None:
    """Write network (safetensors), configuration and tokenizer to `folder`, replacing it.

    Written beside it first, so that a folder of that name is always a whole model.  Of
    several processes only the first one writes.  Raises `UserError` where it cannot.
    """
    if not ranks.is_first():
        return
    try:
        with whole_folder(folder) as new, quiet_transformers():
            _write(model, new)
    except OSError as error:
        raise UserError(
            f"cannot save the model in {folder}: {error.strerror or error}; make room or choose "
            "another --out, or leave out --save-models"
        ) from error
    except ValueError as error:  # a generation configuration that its own library refuses
        raise UserError(
            f"cannot save the model in {folder}: {' '.join(str(error).split())[:200]}"
        ) from error


def _write(model: "LanguageModel", folder: Path) -> None:
    from safetensors import SafetensorError

    from unlearnbench.models.paired import Pair

    try:
        if (pair := Pair.of(model.network)) is not None:
            pair.save(folder, model.tokenizer)
        elif model.saved_instead is not None:
            model.saved_instead(folder)
            save_tokenizer(model.tokenizer, folder)
        else:
            model.network.save_pretrained(folder)
            save_tokenizer(model.tokenizer, folder)
    except SafetensorError as error:  # its word for a full disk
        raise OSError(str(error)[:200]) from error
    for name, write in model.saved_beside.items():
        write(folder / name)
