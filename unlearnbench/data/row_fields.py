"""The fields that rows of tables have in common: a text, and a name of its own."""

from collections.abc import Mapping
from typing import Any

from unlearnbench.errors import UserError


def text_field(row: Mapping[str, Any], column: str, where: str) -> str:
    """The text of a row's field; raises `UserError` where it is missing, empty or no text."""
    value = row.get(column)
    if value is None:
        raise UserError(f"{where}: field '{column}' is missing; every row needs it")
    if not isinstance(value, str):
        raise UserError(f"{where}: field '{column}' is {type(value).__name__}, not text")
    if not value.strip():
        raise UserError(f"{where}: field '{column}' is empty; fill it or remove the row")
    return value


def doc_ids(rows: list[Mapping[str, Any]], name: str) -> list[str]:
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
