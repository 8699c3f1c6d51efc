"""Where the models of a cell lie, and what their files take and hold, read from headers alone."""

from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.models.weight_files import is_pickled, weight_files

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.model_choice import ModelChoice

_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # in a safetensors header


def folder_of(model: "ModelChoice") -> Path:
    """The folder that a model is loaded from; raises `UserError` where it is not here."""
    from unlearnbench.models.source import absent, find_folder

    revision = model.source.revision
    folder = find_folder(model.asked, revision, download=False, allow_pickle=model.allow_pickle)
    if folder is None:
        raise absent(model.asked, revision)
    return folder


def bert_bytes(cell: "Cell") -> int:
    """The weights of the BERT that scores a cell's continuations, always as its file has them."""
    from unlearnbench.metrics.bertscore_model import bert_folder

    return _size(weight_files(bert_folder(cell.data.bert)))


def mapped_bytes(model: "ModelChoice", dtype: str) -> int:
    """What stays mapped of a model's files while its weights are made of them.

    Nothing where the weights are the mapped file itself.  What pickled files hold is not known
    before they are unpickled.
    """
    files = weight_files(folder_of(model), model.allow_pickle)
    if not is_pickled(files) and _dtypes(files) <= {_NAMES[dtype]}:
        return 0
    return _size(files)


def _size(files: tuple[Path, ...]) -> int:
    return sum(path.stat().st_size for path in files)


def _dtypes(files: tuple[Path, ...]) -> set[str]:
    from safetensors import safe_open

    found: set[str] = set()
    for path in files:
        with safe_open(str(path), framework="numpy") as tensors:
            found |= {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return found
