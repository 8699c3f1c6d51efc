"""The rows of a JSONL, JSON, CSV or Parquet file as they stand, or an error that names one."""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import RepeatedNameError, parsed

_LONGEST_CELL = 1 << 30  # characters; the csv module's own limit is 128 KiB


def json_rows(path: Path, texts_as: str | None = None) -> Iterator[dict[str, Any]]:
    """One object per line, blank lines aside, or one array of objects.

    Where `texts_as` names a field, a text may stand for an object with that field alone.
    """
    text = text_of_file(path)
    if text.lstrip().startswith("["):
        rows = iter(_value(text, path.name, "one object per line, or an array of objects"))
    else:
        lines = enumerate(line for line in text.split("\n") if line.strip())
        rows = (_value(line, f"{path.name}, row {at}", "one object per line") for at, line in lines)
    for at, row in enumerate(rows):
        if texts_as and isinstance(row, str):
            row = {texts_as: row}
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise UserError(f"{path.name}, row {at}: {kind}, not an object with fields")
        yield row


def _value(text: str, where: str, wanted: str) -> Any:
    try:
        return parsed(text)
    except RepeatedNameError as error:
        raise UserError(f"{where}: field {error.name!a} is there twice; keep one") from error
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); {wanted}") from error


def csv_rows(path: Path) -> Iterator[dict[str, str]]:
    """One row per record after the header, with exactly its fields; blank lines are no rows."""
    csv.field_size_limit(_LONGEST_CELL)
    # Strictly: else a quote that is never closed makes one cell of the rest of the file.
    reader = csv.reader(io.StringIO(decoded_file(path), newline=""), strict=True)
    header: list[str] | None = None
    at = 0
    try:
        for cells in filter(None, reader):
            if header is None:
                header = cells
                _check_twins([name for name in header if name], path)
                continue
            yield _record(header, cells, f"{path.name}, row {at}")
            at += 1
    except csv.Error as error:
        where = f"row {at}" if header is not None else "the header"
        raise UserError(
            f"{path.name}, {where}: not CSV ({error}); write a quote inside a cell twice and "
            "close the cell's own"
        ) from error


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    """Every row of a Parquet file."""
    import pyarrow.parquet

    try:
        # Not read_table: that takes folders called 'a=b' above the file for columns.
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            columns = file.schema_arrow.names
            rows: list[dict[str, Any]] = file.read().to_pylist()
    except Exception as error:  # a damaged file surfaces as any of a dozen kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is not a readable Parquet file ({first[:200]}); write or copy it again"
        ) from error
    _check_twins(columns, path)
    return rows


def csv_header(path: Path) -> list[str]:
    """The names in a file's first line, to tell what it is; none where it is no CSV."""
    csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            return next(filter(None, csv.reader(file)), [])
    except (OSError, csv.Error):
        return []  # whoever reads all of it says what is wrong


def _check_twins(names: Sequence[str], path: Path) -> None:
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise UserError(f"{path.name}: two columns are called {twice!r}; rename one")


def _record(header: list[str], cells: list[str], where: str) -> dict[str, str]:
    if len(cells) > len(header):
        raise UserError(f"{where}: more fields than the header names; quote commas")
    if len(cells) < len(header):
        raise UserError(
            f"{where}: {len(cells)} fields where the header names {len(header)}; "
            "write every comma, an empty cell's too"
        )
    return dict(zip(header, cells, strict=True))


_READERS: dict[str, Callable[[Path], Iterable[dict[str, Any]]]] = {
    ".jsonl": json_rows,
    ".csv": csv_rows,
    ".parquet": parquet_rows,
    ".jsonl.gz": json_rows,
    ".csv.gz": csv_rows,
    ".json": json_rows,
    ".json.gz": json_rows,
}
SUFFIXES = tuple(_READERS)


def table_suffix(path: Path) -> str:
    """What says a table's format, such as '.jsonl.gz'; '' where the name says no table."""
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return suffix if suffix in _READERS else ""


def read_table(
    path: Path, docs: str = "docs/forget_sets.md", texts_as: str | None = None
) -> list[dict[str, Any]]:
    """The rows of a file with one of `SUFFIXES`; raises `UserError` naming file and row.

    `docs` is the page that says what a row holds; `texts_as` as `json_rows` has it.
    """
    suffix = table_suffix(path)
    if not suffix:
        raise UserError(f"{path} is not one of {', '.join(SUFFIXES)}; see {docs}")
    if not path.is_file():
        raise UserError(f"no file at {path}; give an existing {', '.join(SUFFIXES)} file")
    reader = _READERS[suffix]
    rows = list(json_rows(path, texts_as) if reader is json_rows else reader(path))
    if not rows:
        raise UserError(f"{path} has no rows; see {docs} for what a row holds")
    return rows


_UTF8_MARK = b"\xef\xbb\xbf"  # Excel and Notepad write it in front of UTF-8; it is no content
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def decoded_file(path: Path) -> str:
    """A file's text, unpacked, its line ends as they are; a byte order mark of UTF-8 is left out.

    Raises `UserError` where it cannot be read, is not UTF-8, or holds NUL bytes.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged ({error}); compress or copy it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if (other := _OTHER_MARKS.get(content[:2])) is not None:
        raise UserError(f"{path} is not UTF-8 text but {other}; save it as UTF-8")
    if (at := content.find(0)) >= 0:
        raise UserError(
            f"{path} holds a NUL byte at byte {at}, so it is no UTF-8 text (UTF-16, or a binary "
            "file?); save it as UTF-8"
        )
    skipped = len(_UTF8_MARK) if content.startswith(_UTF8_MARK) else 0
    try:
        return content[skipped:].decode()
    except UnicodeDecodeError as error:
        at = skipped + error.start
        line = content.count(b"\n", 0, at) + 1
        raise UserError(
            f"{path} is not UTF-8 text: {error.reason} at byte {at}, line {line}; save it as UTF-8"
        ) from error


def text_of_file(path: Path) -> str:
    """A file's text with its line ends as line feeds; raises `UserError` like `decoded_file`."""
    return decoded_file(path).replace("\r\n", "\n").replace("\r", "\n")


def count_repeats(contents: Sequence[Hashable], names: Sequence[str]) -> str | None:
    """What to say of rows with equal content; None where all differ.

    One rule for every kind of data: such rows are kept and each counts on its own. Two of the
    three published forget sets here repeat one row, the third two, and LAMBADA two.
    """
    first: dict[Hashable, int] = {}
    twins = [(at, first[row]) for at, row in enumerate(contents) if first.setdefault(row, at) != at]
    if not twins:
        return None
    at, before = twins[0]
    verb = "repeats" if len(twins) == 1 else "repeat"
    return (
        f"{len(twins)} of {len(contents)} rows {verb} an earlier one (the first: "
        f"{names[at]!r:.60} is {names[before]!r:.60} again); each is kept and counts on its own"
    )
