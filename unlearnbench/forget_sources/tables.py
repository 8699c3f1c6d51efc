"""Tables of text: JSONL, CSV and Parquet files, and their rows as prefix and suffix."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.forget_sources.rows import TextRow, TextRows, text_of_file

SUFFIXES = (".jsonl", ".csv", ".parquet")
# The columns a row is made of, in order of preference.
_SHAPES = (("prefix", "suffix"), ("question", "answer"), ("text",))


def read_table(path: Path, docs: str = "docs/forget_sets.md") -> list[dict[str, Any]]:
    """The rows of a .jsonl, .csv or .parquet file; raises `UserError` naming file and row.

    `docs` is the page that says what a row holds.
    """
    readers = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in readers:
        raise UserError(f"{path} is not one of {', '.join(SUFFIXES)}; see {docs}")
    if not path.is_file():
        raise UserError(f"no file at {path}; give an existing {', '.join(SUFFIXES)} file")
    rows = list(readers[path.suffix](path))
    if not rows:
        raise UserError(f"{path} has no rows; see {docs} for what a row holds")
    return rows


def text_rows(table: Iterable[Mapping[str, Any]], name: str) -> TextRows:
    """Rows of `text`, `prefix` + `suffix` or `question` + `answer`, with an optional `doc_id`.

    A question is written as `Question: ...`, then `Answer:` on the next line, as the
    prefix; the answer, after a space, is the suffix.  `doc_id` defaults to the row number.
    Raises `UserError` naming the row and the field that is missing, empty or no text.
    """
    rows = list(table)
    shape = _shape(rows[0], name) if rows else ()
    made = tuple(_text_row(row, shape, name, at) for at, row in enumerate(rows))
    _check_doc_ids(made)
    return TextRows(made)


def as_question(question: str) -> str:
    """The prefix a question becomes."""
    return f"Question: {question}\nAnswer:"


def as_answer(answer: str) -> str:
    """The suffix an answer becomes."""
    return f" {answer.strip()}"


def _shape(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    for shape in _SHAPES:
        if all(column in row for column in shape):
            return shape
    # A row with half of a shape is told what the other half is called.
    for shape in _SHAPES[:2]:
        if half := [column for column in shape if column in row]:
            other = next(column for column in shape if column not in half)
            raise UserError(f"{name}, row 0: has '{half[0]}' but no '{other}'; add that field")
    raise UserError(
        f"{name}, row 0: has {', '.join(map(str, row)) or 'no fields'}; needs text, "
        "prefix and suffix, or question and answer: see docs/forget_sets.md"
    )


def _text_row(row: Mapping[str, Any], shape: tuple[str, ...], name: str, at: int) -> TextRow:
    where = f"{name}, row {at}"
    values = [_field(row, column, where) for column in shape]
    doc_id = row.get("doc_id")
    given = doc_id is not None and str(doc_id) != ""
    if shape == ("question", "answer"):
        values = [as_question(values[0]), as_answer(values[1])]
    suffix = values[1] if len(values) == 2 else None
    return TextRow(str(doc_id) if given else str(at), values[0], suffix, where)


def _field(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if value is None:
        raise UserError(f"{where}: field '{column}' is missing; every row needs it")
    if not isinstance(value, str):
        raise UserError(f"{where}: field '{column}' is {type(value).__name__}, not text")
    if not value.strip():
        raise UserError(f"{where}: field '{column}' is empty; fill it or remove the row")
    return value


def _check_doc_ids(rows: tuple[TextRow, ...]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        if row.doc_id in seen:
            raise UserError(
                f"{row.where}: doc_id '{row.doc_id}' is already that of {seen[row.doc_id]}"
            )
        seen[row.doc_id] = row.where


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    for at, line in enumerate(line for line in text_of_file(path).split("\n") if line.strip()):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(
                f"{path.name}, row {at}: not JSON ({error}); one object per line"
            ) from error
        if not isinstance(row, dict):
            raise UserError(
                f"{path.name}, row {at}: {type(row).__name__}, not an object with fields"
            )
        yield row


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 30)
    text_of_file(path)  # says what is wrong with an unreadable file
    with path.open(newline="", encoding="utf-8") as file:
        for at, row in enumerate(csv.DictReader(file)):
            if None in row:
                raise UserError(
                    f"{path.name}, row {at}: more fields than the header names; quote commas"
                )
            yield row


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        yield from pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{path} is not a readable Parquet file ({first})") from error
