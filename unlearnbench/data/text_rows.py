"""Tables of text: JSONL, CSV and Parquet files, and their rows as prefix and suffix."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from unlearnbench.data.rows import TextRow, TextRows
from unlearnbench.errors import UserError

# The columns a row is made of, in order of preference.
_SHAPES = (("prefix", "suffix"), ("question", "answer"), ("text",))


def text_rows(table: Iterable[Mapping[str, Any]], name: str) -> TextRows:
    """Rows of `text`, `prefix` + `suffix` or `question` + `answer`, with an optional `doc_id`.

    A question is written as `Question: ...`, then `Answer:` on the next line, as the
    prefix; the answer, after a space, is the suffix.  Every row has a `doc_id` or none
    has; it is then the row number.
    Raises `UserError` naming the row and the field that is missing, empty or no text.
    """
    rows = list(table)
    shape = _shape(rows[0], name) if rows else ()
    names = _doc_ids(rows, name)
    return TextRows(
        tuple(
            _text_row(row, shape, doc_id, f"{name}, row {at}")
            for at, (row, doc_id) in enumerate(zip(rows, names, strict=True))
        )
    )


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
        f"{name}, row 0: has {_listed(row)}; needs text, "
        f"prefix and suffix, or question and answer{_nearest(row)}: see docs/forget_sets.md"
    )


def _listed(row: Mapping[str, Any]) -> str:
    listed = ", ".join(" ".join(str(field).split()) or repr(field) for field in row)
    return f"{listed:.100}" or "no fields"


def _nearest(row: Mapping[str, Any]) -> str:
    for column in (column for shape in _SHAPES for column in shape):
        written = {str(field).strip().casefold(): str(field) for field in row}
        if near := get_close_matches(column, list(written), n=1, cutoff=0.8):
            return f" (rename {written[near[0]]!r:.40} to '{column}'?)"
    return ""


def _text_row(row: Mapping[str, Any], shape: tuple[str, ...], doc_id: str, where: str) -> TextRow:
    values = [_field(row, column, where) for column in shape]
    if shape == ("question", "answer"):
        values = [as_question(values[0]), as_answer(values[1])]
    return TextRow(doc_id, values[0], values[1] if len(values) == 2 else None, where)


def _field(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if value is None:
        raise UserError(f"{where}: field '{column}' is missing; every row needs it")
    if not isinstance(value, str):
        raise UserError(f"{where}: field '{column}' is {type(value).__name__}, not text")
    if not value.strip():
        raise UserError(f"{where}: field '{column}' is empty; fill it or remove the row")
    return value


def _doc_ids(rows: list[Mapping[str, Any]], name: str) -> list[str]:
    """Each row's own doc_id, or its number where no row has one; raises `UserError` for twins."""
    given = [_doc_id(row, f"{name}, row {at}") for at, row in enumerate(rows)]
    if not any(given):
        return [str(at) for at in range(len(rows))]
    seen: dict[str, int] = {}
    for at, doc_id in enumerate(given):
        if not doc_id:
            raise UserError(
                f"{name}, row {at}: field 'doc_id' is missing; every row needs one, or none has it"
            )
        if (before := seen.setdefault(doc_id, at)) != at:
            raise UserError(
                f"{name}, row {at}: doc_id {doc_id!r:.60} is already that of {name}, row {before}"
            )
    return [str(doc_id) for doc_id in given]


def _doc_id(row: Mapping[str, Any], where: str) -> str:
    value = row.get("doc_id")
    if value is None:
        return ""
    # A number that is no whole one (NaN, 3.0) is a table's way to say that it lost the name.
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(
            f"{where}: field 'doc_id' is {type(value).__name__}, not text or a whole number"
        )
    return "" if isinstance(value, str) and not value.strip() else str(value)
