"""The annotation sheet: item id, prefix, reference, continuation and an empty score column."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.spreadsheets import read_table, table_text, write_whole

SHEET_NAME = "sheet.csv"
TEXTS = ("prefix", "reference", "continuation")


class Item(NamedTuple):
    """What an annotator sees: nothing that tells the method."""

    item: str
    prefix: str
    reference: str
    continuation: str


def write_sheet(path: Path, items: Iterable[Item]) -> None:
    """Write the sheet in the given order."""
    write_whole(path, sheet_text(items))


def sheet_text(items: Iterable[Item]) -> str:
    """The sheet as it is written."""
    rows = [(one.item, *map(guarded, one[1:]), "") for one in items]
    return table_text(("item", *TEXTS, "score"), rows)


def read_sheet(place: Path) -> list[Item]:
    """The items of a sheet, or of the sheet in a folder, in its order.

    Raises `UserError` for a file that is no sheet, without rows, or with an item
    twice or empty.
    """
    path = place / SHEET_NAME if place.is_dir() else place
    if not path.is_file():
        raise UserError(f"no sheet at {path}; make one with: unlearnbench human sheet --out FOLDER")
    rows = read_table(path, ("item", *TEXTS), in_any_code=False)
    items = [Item(row["item"].strip(), *(plain(row[name]) for name in TEXTS)) for _, row in rows]
    seen: set[str] = set()
    for (number, _), one in zip(rows, items, strict=True):
        if not one.item or one.item in seen:
            raise UserError(f"{path}: row {number}: item '{one.item}' is empty or there twice")
        seen.add(one.item)
    if not items:
        raise UserError(f"{path} has no rows; make a sheet with: unlearnbench human sheet")
    return items


# A spreadsheet takes a cell that begins so for a formula and runs it.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def guarded(text: str) -> str:
    """The text as it can stand in a spreadsheet: with an apostrophe where it looks like a formula.

    >>> guarded("=1+1"), guarded("1+1"), guarded("'=1+1")
    ("'=1+1", '1+1', "''=1+1")
    """
    return "'" + text if _FORMULA.match(text) else text


def plain(text: str) -> str:
    """The text that `guarded` was given.

    >>> plain("'=1+1"), plain("'twas"), plain("=1+1")
    ('=1+1', "'twas", '=1+1')
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
