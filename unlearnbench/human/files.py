"""The study's files: written whole or not at all, tables read as spreadsheets write them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from unlearnbench import whole_files
from unlearnbench.errors import UserError

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


def read_table(path: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV by column name, each with its number as a spreadsheet counts it.

    Separated by comma, semicolon or tab, in any order of columns, names in any case,
    with or without a byte-order mark.  The first row is the header and has number 1;
    empty rows are left out.  Raises `UserError` if the file cannot be read or a
    `needed` column is missing or there twice.
    """
    text = _text(path)
    separator = max(SEPARATORS, key=lambda sign: text.split("\n", 1)[0].count(sign))
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file: {error}; save it as CSV (UTF-8)") from error
    header = [name.strip().casefold() for name in rows[0]] if rows else []
    for name in needed:
        if header.count(name) != 1:
            found = "twice the column" if name in header else "no column"
            raise UserError(f"{path} has {found} '{name}'; it has: {', '.join(header) or 'none'}")
    return [
        (number, dict(zip(header, [*row, *[""] * len(header)], strict=False)))
        for number, row in enumerate(rows[1:], start=2)
        if any(field.strip() for field in row)
    ]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a CSV file") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # a spreadsheet's "Unicode text"
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # A Western spreadsheet's plain "CSV"; what is read of it (items, scores) is ASCII.
        return content.decode("cp1252", errors="replace")
