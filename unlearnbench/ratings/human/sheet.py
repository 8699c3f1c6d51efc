"""A study's files: the blind sheet, its key, and CSV as spreadsheets read and write it."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular, write_whole
from unlearnbench.results.record import Record, Role, Status


def write_study_file(path: Path, text: str) -> None:
    """Write one of the study's files whole; raises `UserError` where that cannot be done."""
    write_whole(path, text, "is the disk full?")


def table_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A CSV as spreadsheets want it: a byte-order mark for UTF-8, commas, CR LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return "\ufeff" + text.getvalue()


def read_table(
    path: Path, needed: Sequence[str], optional: Sequence[str] = (), in_any_code: bool = True
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV by column name, each with its number as a spreadsheet counts it.

    Separated by comma, semicolon or tab, in any order of columns, names in any case,
    with or without a byte-order mark.  The first row is the header and has number 1;
    empty rows are left out.  Text that is no Unicode is taken for a Western spreadsheet's
    where only ASCII is read of it (`in_any_code`).  Raises `UserError` if the file cannot be
    read, a `needed` column is missing, one of these or of the `optional` ones is there twice, or
    a row has more fields than the header.
    """
    rows = _rows(path, in_any_code)
    header = [name.strip().casefold() for name in rows[0]] if rows else []
    for name in (*needed, *optional):
        if header.count(name) > 1 or (name in needed and name not in header):
            problem = "twice the column" if name in header else "no column"
            names = ", ".join(header)[:200] or "none"
            raise UserError(f"{path} has {problem} '{name}'; it has: {names}")
    numbered = [(n, row) for n, row in enumerate(rows[1:], start=2) if any(map(str.strip, row))]
    for number, row in numbered:
        # An unquoted comma in a text, or in 3,5, has moved all that follows.
        if any(map(str.strip, row[len(header) :])):
            raise UserError(
                f"{path}: row {number}: {len(row)} fields, and the header has {len(header)}; "
                "put text with a separator in quotation marks"
            )
    blank = [""] * len(header)
    return [(n, dict(zip(header, [*row, *blank], strict=False))) for n, row in numbered]


def _rows(path: Path, in_any_code: bool) -> list[list[str]]:
    try:
        content = read_regular(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a CSV file") from error
    # A spreadsheet's "Unicode text" begins with one of these two marks.
    code = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(code)
    except UnicodeDecodeError as error:
        if code == "utf-16" or not in_any_code:
            raise UserError(
                f"{path} is no Unicode text from byte {error.start} on; save it as CSV (UTF-8)"
            ) from error
        text = content.decode("cp1252", errors="replace")
    separator = max(",;\t", key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return list(lines)
    except csv.Error as error:  # strict: a quotation that never ends is a file cut off
        raise UserError(
            f"{path} is no CSV file: line {lines.line_num}: {error}; save it as CSV (UTF-8)"
        ) from error


SHEET_NAME = "sheet.csv"
TEXTS = ("prefix", "reference", "continuation")


class Item(NamedTuple):
    """What an annotator sees: nothing that tells the method."""

    item: str
    prefix: str
    reference: str
    continuation: str


def sheet_text(items: Iterable[Item]) -> str:
    """The sheet as it is written, in the given order."""
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
    items: dict[str, Item] = {}
    for number, row in read_table(path, ("item", *TEXTS), in_any_code=False):
        item = row["item"].strip()
        if not item or item in items:
            raise UserError(f"{path}: row {number}: item '{item}' is empty or there twice")
        items[item] = Item(item, *(plain(row[name]) for name in TEXTS))
    if not items:
        raise UserError(f"{path} has no rows; make a sheet with: unlearnbench human sheet")
    return list(items.values())


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


class KeyItem(Record):
    """Where one continuation comes from."""

    result_key: str = Field(description="the result file's name, without .json")
    model: str = Field(description="the table's group, e.g. nano-neo")
    method: str = Field(description="the table's row, e.g. NEO + ICU")
    method_name: str = Field(description="registered name; 'none' for a reference row")
    role: Role
    position: int = Field(description="the row's place in the table")
    status: Status = Field(description="not_forgotten: the epoch limit came before the stop line")
    source: str = Field(description="the forget set's source and file")
    run: str = Field(description="which forget set of the source")
    seed: int
    doc_id: str


class Key(Record):
    """The key file; annotators must not see it."""

    key_version: Literal[1] = Field(default=1, description="of this file's layout")
    sheet: str = Field(description="the sheet's folder, by its name")
    seed: int = Field(description="of item ids, order and the draw of documents")
    stand_ins: dict[str, str] = Field(
        default_factory=dict,
        description="by annotator, the formula of the rule that rates in a person's place: a "
        "rehearsal; empty: people rate",
    )
    items: dict[str, KeyItem] = Field(min_length=1, description="by item id, in the sheet's order")

    def renamed(self, keys: Mapping[str, str]) -> "Key":
        """The same key once results have other names; `keys` are the new ones by the old."""
        items = {
            name: item.model_copy(update={"result_key": keys.get(item.result_key, item.result_key)})
            for name, item in self.items.items()
        }
        return self.model_copy(update={"items": items})


def read_key(path: Path) -> Key:
    """The key in that file; raises `UserError` if it holds none."""
    try:
        return Key.model_validate(parsed(read_regular(path)), strict=True)
    except OSError as error:
        raise UserError(
            f"cannot read the key {path}: {error.strerror}; it is the JSON file that "
            "`unlearnbench human sheet` wrote beside the sheet's folder"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path} is no key: {first_error(error)}; give the JSON file that `unlearnbench human "
            "sheet` wrote, then the ratings"
        ) from error
