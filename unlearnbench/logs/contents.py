"""A log file as JSON, rows of a CSV or JSON lines; a user's mistake is told in one line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.files.hashing import file_sha256
from unlearnbench.files.strict_json import parsed
from unlearnbench.files.tables import read_table, table_suffix, text_of_file

_TABLES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
_JSON = (".json", ".json.gz")


@dataclass(frozen=True)
class Contents:
    """A file's content before anybody knows whose it is."""

    path: Path
    value: Any  # JSON's, or None for a table
    rows: tuple[Mapping[str, Any], ...] = ()  # of a table

    @property
    def sha256(self) -> str:
        """Digest of the file as it is, packed or not."""
        return file_sha256(self.path)

    @property
    def stem(self) -> str:
        """The name without '.json.gz' or the like."""
        return self.path.name.removesuffix(".gz").rsplit(".", 1)[0]

    def beside(self, *names: str) -> Path | None:
        """The first of the files of these names, gzipped or not, in the same folder."""
        paths = (self.path.parent / (name + end) for name in names for end in ("", ".gz"))
        return next((path for path in paths if path.is_file()), None)


def read_contents(path: Path) -> Contents:
    """The file's content; raises `UserError` for what is no file, no JSON and no table."""
    if not path.is_file():
        raise UserError(f"no file at {path}; give a log: unlearnbench verify FILE")
    suffix = table_suffix(path)
    if suffix in _TABLES:
        return Contents(path, None, tuple(read_table(path, "docs/import.md")))
    if suffix not in _JSON:
        raise UserError(
            f"{path} is not one of {', '.join((*_JSON, *_TABLES))}; see docs/import.md for the "
            "logs that are known"
        )
    text = text_of_file(path)
    try:
        return Contents(path, parsed(text))
    except ValueError as error:
        is_short = not text.rstrip().endswith(("}", "]"))
        cut = "it ends in the middle, so it was cut short; copy it again" if is_short else error
        raise UserError(f"{path} is not JSON: {cut}") from error


def need(fields: Any, name: str, where: str, version: str) -> Any:
    """A field of an object; raises `UserError` naming the one that a log of `version` has."""
    if not isinstance(fields, Mapping):
        raise UserError(
            f"{where} is {type(fields).__name__}, not an object with the field '{name}': not a log "
            f"as {version} writes it"
        )
    if name not in fields:
        had = ", ".join(map(str, list(fields)[:4])) or "nothing"
        raise UserError(f"{where} has no '{name}' (it has {had}): not a log as {version} writes it")
    return fields[name]


def number(value: Any, where: str) -> float:
    """A number as a float; raises `UserError` for anything else, true and false too."""
    if isinstance(value, str):  # of a CSV
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise UserError(f"{where} is {value!r:.40}, not a number")


def numbers(values: Any, where: str) -> list[float]:
    """A list of numbers, at least one."""
    if not isinstance(values, list) or not values:
        raise UserError(f"{where} is {values!r:.40}, not a list of numbers")
    return [number(value, where) for value in values]


def mean(values: Iterable[float]) -> float:
    """The mean as numpy sums it, which is how these logs' authors made theirs."""
    import numpy as np

    return float(np.mean(list(values)))
