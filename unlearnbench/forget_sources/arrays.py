"""The extraction benchmark's files: token ids in three .npy arrays, row numbers in a CSV."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.forget_sources.rows import TokenRows
from unlearnbench.forget_sources.vocabularies import RowVocabulary

if TYPE_CHECKING:
    import numpy as np

SPANS = ("preprefix", "prefix", "suffix")


def read_doc_ids(path: Path, n_rows: int, folder: Path) -> list[int]:
    """Row numbers in the column doc_id, in the file's order; raises `UserError` for a bad one.

    The CSV's text is not used: it is the released decoding, which does not give the ids back.
    """
    csv.field_size_limit(1 << 30)
    with path.open(newline="", encoding="utf-8") as file:
        cells = [row.get("doc_id") for row in csv.DictReader(file)]
    if not cells:
        raise UserError(f"{path} has no rows; a forget set needs at least one doc_id")
    numbers: list[int] = []
    for at, cell in enumerate(cells):
        if cell is None or not cell.strip().isdecimal():
            raise UserError(f"{path}, row {at}: doc_id {cell!r} is not a row number of {folder}")
        if int(cell) >= n_rows:
            raise UserError(
                f"{path}, row {at}: doc_id {cell} is beyond the {n_rows} rows of {folder}"
            )
        numbers.append(int(cell))
    if len(set(numbers)) < len(numbers):
        twice = next(n for n in numbers if numbers.count(n) > 1)
        raise UserError(f"{path}: doc_id {twice} is there twice; each row can be forgotten once")
    return numbers


def read_rows(folder: Path) -> TokenRows:
    """[N] every row of an extraction folder; raises `UserError` naming the file that is wrong."""
    arrays = {span: _read_array(path) for span, path in array_files(folder).items()}
    counts = {span: len(array) for span, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise UserError(f"the .npy files of {folder} have different numbers of rows: {counts}")
    doc_ids = tuple(map(str, range(counts["suffix"])))
    preprefix, prefix, suffix = (arrays[span] for span in SPANS)
    return TokenRows(preprefix, prefix, suffix, doc_ids, vocabulary_of(folder))


def array_files(folder: Path) -> dict[str, Path]:
    """Span -> file of an extraction folder."""
    return {span: folder / f"train_{span}.npy" for span in SPANS}


def _read_array(path: Path) -> "np.ndarray":
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is missing; copy all of train_{{preprefix,prefix,suffix}}.npy"
        ) from error
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} is not a readable .npy file ({error}); download it again"
        ) from error
    if array.ndim != 2 or array.dtype.kind not in "ui" or 0 in array.shape:
        raise UserError(
            f"{path} holds {array.dtype} of shape {list(array.shape)}; "
            "expected whole numbers [rows, tokens]"
        )
    return array


def vocabulary_of(folder: Path) -> RowVocabulary:
    """Whose ids the rows are: a tokenizer.json's beside them, the nano world's, else GPT-2's."""
    if (folder / "tokenizer.json").is_file():
        return RowVocabulary(folder)
    if is_nano_world(folder):
        from unlearnbench.nano.tokenizer import WEIGHTS

        return RowVocabulary(WEIGHTS / "tokenizer")
    return RowVocabulary(None, (folder / "gpt2_tokenizer", folder.parent / "gpt2_tokenizer"))


def is_nano_world(folder: Path) -> bool:
    """Whether these are the nano world's rows: its manifest names the world's version."""
    manifest = folder.parent / "manifest.json"
    try:
        return "world_version" in json.loads(manifest.read_text())
    except (OSError, ValueError):
        return False
