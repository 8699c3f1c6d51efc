"""The extraction benchmark's files: token ids in three .npy arrays, row numbers in a CSV."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.data.row_vocabulary import RowVocabulary
from unlearnbench.data.rows import TokenRows
from unlearnbench.errors import UserError
from unlearnbench.files.tables import csv_rows
from unlearnbench.nano import world_at

if TYPE_CHECKING:
    import numpy as np

# Tokens of each span, in the order of a row: one file copied over another is noticed by them.
SPANS = {"preprefix": 100, "prefix": 50, "suffix": 50}
_ROW_NUMBER = re.compile("[0-9]{1,18}")


def read_doc_ids(path: Path, n_rows: int, folder: Path) -> list[int]:
    """Row numbers in the column doc_id, in the file's order; raises `UserError` for a bad one.

    The CSV's text is not used: it is the released decoding, which does not give the ids back.
    """
    numbers: dict[int, int] = {}
    for at, row in enumerate(csv_rows(path)):
        number = _row_number(row, n_rows, folder, f"{path}, row {at}")
        if (before := numbers.setdefault(number, at)) != at:
            raise UserError(
                f"{path}, row {at}: doc_id {number} is there twice (also in row {before}); "
                "each row can be forgotten once"
            )
    if not numbers:
        raise UserError(f"{path} has no rows; a forget set needs at least one doc_id")
    return list(numbers)


def _row_number(row: dict[str, str], n_rows: int, folder: Path, where: str) -> int:
    if "doc_id" not in row:
        raise UserError(
            f"{where}: no column 'doc_id' (it has {', '.join(map(repr, row)):.100}); "
            f"it names the rows of {folder}"
        )
    cell = row["doc_id"].strip()
    if not _ROW_NUMBER.fullmatch(cell):
        raise UserError(f"{where}: doc_id {cell!r:.40} is not a row number of {folder}")
    if int(cell) >= n_rows:
        raise UserError(f"{where}: doc_id {cell} is beyond the {n_rows} rows of {folder}")
    return int(cell)


def read_rows(folder: Path) -> TokenRows:
    """[N] every row of an extraction folder; raises `UserError` naming the file that is wrong."""
    files = array_files(folder)
    arrays = {span: _read_array(path) for span, path in files.items()}
    counts = {span: len(array) for span, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise UserError(
            f"the .npy files of {folder} have different numbers of rows: {counts}; "
            "copy all three from one place"
        )
    vocabulary = vocabulary_of(folder)
    for span, array in arrays.items():
        _check_array(array, span, files[span], vocabulary)
    doc_ids = tuple(map(str, range(counts["suffix"])))
    preprefix, prefix, suffix = (arrays[span] for span in SPANS)
    return TokenRows(preprefix, prefix, suffix, doc_ids, vocabulary)


def array_files(folder: Path) -> dict[str, Path]:
    """Span -> file of an extraction folder."""
    return {span: folder / f"train_{span}.npy" for span in SPANS}


def _read_array(path: Path) -> "np.ndarray":
    """A file's array of whole numbers [rows, tokens]; nothing in the file is ever unpickled."""
    import numpy as np

    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
        n_more = path.stat().st_size - mapped.offset - mapped.nbytes
        array = np.array(mapped)  # a file that shrinks while it is mapped kills the process
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is missing; copy all of train_{{preprefix,prefix,suffix}}.npy"
        ) from error
    except Exception as error:  # a header is parsed as Python, which fails in any way it likes
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is not a readable .npy file ({first[:200]}); download it again"
        ) from error
    if n_more > 0:
        raise UserError(f"{path} goes on after its array; it is damaged, download it again")
    if array.ndim != 2 or array.dtype.kind not in "ui" or 0 in array.shape:
        raise UserError(
            f"{path} holds {array.dtype} of shape {list(array.shape)}; "
            "expected whole numbers [rows, tokens]"
        )
    return array


def _check_array(array: "np.ndarray", span: str, path: Path, vocabulary: RowVocabulary) -> None:
    if array.shape[1] != SPANS[span]:
        raise UserError(
            f"{path} has {array.shape[1]} tokens per row where the benchmark's has {SPANS[span]}; "
            "is it another file of the three?"
        )
    wrong = (array < 0) | (array >= vocabulary.size)
    if wrong.any():
        row = int(wrong.any(axis=1).argmax())
        token = int(array[row][wrong[row]][0])
        raise UserError(
            f"{path}, row {row}: token id {token} is not one of the {vocabulary.size} of "
            f"{vocabulary.title}; ids of another vocabulary need its tokenizer.json beside them"
        )


def vocabulary_of(folder: Path) -> RowVocabulary:
    """Whose ids the rows are: a tokenizer.json's beside them, their world's, else GPT-2's."""
    if (folder / "tokenizer.json").is_file():
        return RowVocabulary(folder)
    if world := world_at(folder):
        return RowVocabulary(world.tokenizer)
    return RowVocabulary(None, (folder / "gpt2_tokenizer", folder.parent / "gpt2_tokenizer"))
