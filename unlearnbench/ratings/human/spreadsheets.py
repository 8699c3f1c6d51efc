"""The study's files: written whole or not at all, tables read as spreadsheets write them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.files import whole_files
from unlearnbench.files.whole_files import read_regular

SEPARATORS = (",", ";", "\t")


def write_whole(path: Path, text: str) -> None:
    """Write one of the study's files whole; raises `UserError` where that cannot be done."""
    whole_files.write_whole(path, text, "is the disk full?")


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV that spreadsheets open as what it is."""
    write_whole(path, table_text(header, rows))


def table_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A CSV as spreadsheets want it: a byte-order mark for UTF-8, commas, CR LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return "\ufeff" + text.getvalue()


def read_table(
    path: Path, needed: Sequence[str], known: Sequence[str] = (), in_any_code: bool = True
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV by column name, each with its number as a spreadsheet counts it.

    Separated by comma, semicolon or tab, in any order of columns, names in any case,
    with or without a byte-order mark.  The first row is the header and has number 1;
    empty rows are left out.  Text that is no Unicode is taken for a Western spreadsheet's
    where only ASCII is read of it (`in_any_code`).  Raises `UserError` if the file cannot be
    read, a `needed` column is missing, one of these or of the `known` ones is there twice, or
    a row has more fields than the header.
    """
    rows = _rows(path, _text(path, in_any_code))
    header = [name.strip().casefold() for name in rows[0]] if rows else []
    for name in (*needed, *known):
        if header.count(name) > 1 or (name in needed and name not in header):
            found = "twice the column" if name in header else "no column"
            raise UserError(f"{path} has {found} '{name}'; it has: {_told(header) or 'none'}")
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


def _rows(path: Path, text: str) -> list[list[str]]:
    separator = max(SEPARATORS, key=lambda sign: text.split("\n", 1)[0].count(sign))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return list(lines)
    except csv.Error as error:  # strict: a quotation that never ends is a file cut off
        raise UserError(
            f"{path} is no CSV file: line {lines.line_num}: {error}; save it as CSV (UTF-8)"
        ) from error


def _told(header: Sequence[str]) -> str:
    told = ", ".join(header)
    return told if len(told) <= 200 else f"{told[:200]}…"


def _text(path: Path, in_any_code: bool) -> str:
    try:
        content = read_regular(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a CSV file") from error
    # A spreadsheet's "Unicode text" begins with one of these two marks.
    code = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(code)
    except UnicodeDecodeError as error:
        if code == "utf-16" or not in_any_code:
            raise UserError(
                f"{path} is no Unicode text from byte {error.start} on; save it as CSV (UTF-8)"
            ) from error
        return content.decode("cp1252", errors="replace")
