"""What the paper prints, table by table: one CSV per printed table beside this file.

A file is named VERSION-TABLE.csv.  Lines with '#' say where the table stands in which version
of the paper; a row is one printed row, a value is kept as it is printed ('>1000'), and what
that row does not print is empty.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from unlearnbench.analysis.build_table import table_of_means
from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.table import EPOCHS, PAPER_COLUMNS, Cell, Group, Row, Table
from unlearnbench.errors import unknown
from unlearnbench.results.record import Role

FOLDER = Path(__file__).parent
PAPER = "arXiv:2407.20271"
MEAN = "mean"  # over the five runs
_ROLES: Mapping[str, Role] = {"none": "before", "opt-dedup": "dedup"}
_COUNTS = {"K": 1e3, "M": 1e6, "B": 1e9}
_COMPARED = {column.name for column in (*PAPER_COLUMNS, EPOCHS)}
_SETTINGS = ("alpha", "beta", "learning_rate")
# What a method ran with where its table does not vary it; table 5 says 0.5 and 0.5 (appendix D).
_WEIGHTS = {"icu": {"alpha": 0.5, "beta": 1.0}}
_WEIGHTS_BY_TABLE = {"learning-rate": {"icu": {"alpha": 0.5, "beta": 0.5}}}


@dataclass(frozen=True)
class PrintedRow:
    """One printed row."""

    size: str  # '125M'
    model: str  # 'neo', 'opt' or 'tinyllama'
    method: str  # registered name; 'none' before unlearning, 'opt-dedup' the deduplicated baseline
    values: Mapping[str, str]  # by column name, as printed
    settings: Mapping[str, float] = field(default_factory=dict)  # those the table varies
    run: str = MEAN  # or '1' to '5'

    @property
    def role(self) -> Role:
        """Whether it is a method's row, or which reference row."""
        return _ROLES.get(self.method, "method")

    @property
    def label(self) -> str:
        """The row's name, as in a table of our own results."""
        name = self.model.upper()
        if self.role != "method":
            return name if self.role == "dedup" else f"{name} (before unlearning)"
        run = {} if self.run == MEAN else {"run": self.run}
        settings = {**self.settings, **run}
        conditions = ", ".join(f"{name}={format_value(v)}" for name, v in settings.items())
        return f"{name} + {self.method.upper()}" + (f" ({conditions})" if conditions else "")


@dataclass(frozen=True)
class PrintedTable:
    """One printed table."""

    name: str  # 'table1'
    source: str  # 'v1' or 'v2', the paper's version
    place: str  # 'Table I'
    rows: tuple[PrintedRow, ...]
    borrowed: tuple[str, ...] = ()  # columns taken from another version, see `completed`

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns in which any row prints a value, in the printed order."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.values))

    @property
    def varied(self) -> tuple[str, ...]:
        """The settings of a method that the table varies."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.settings))

    def weights_of(self, method: str) -> dict[str, float]:
        """The weights that the paper ran a method with, without those that the table varies."""
        weights = _WEIGHTS_BY_TABLE.get(self.name, _WEIGHTS).get(method, {})
        return {name: value for name, value in weights.items() if name not in self.varied}

    @property
    def title(self) -> str:
        """'Table I of version 2 of the paper'."""
        return f"{self.place} of version {self.source[1:]} of the paper"

    def of(self, model: str, size: str) -> tuple[PrintedRow, ...]:
        """The rows that a table prints for one model, its deduplicated baseline among them."""
        rows = tuple(row for row in self.rows if row.size == size)
        return rows if any(row.model == model for row in rows) else ()


def printed_tables() -> list[tuple[str, str]]:
    """(source, table) of every printed table there is."""
    stems = (path.stem.partition("-") for path in sorted(FOLDER.glob("v*.csv")))
    return [(source, name) for source, _, name in stems]


def printed_table(name: str, source: str | None = None) -> PrintedTable:
    """The printed table of that name in one version of the paper, else in the latest with it.

    Raises `UserError` for a table that is not printed there.
    """
    available = printed_tables()
    versions = [version for version, table in available if table == name]
    version = source or (versions[-1] if versions else "")
    if (version, name) not in available:
        tables = {f"{table} of {version}" for version, table in available}
        requested = f"{name} of {source}" if source else name
        raise unknown("printed table", requested, tables, "unlearnbench show experiment")
    return _read(FOLDER / f"{version}-{name}.csv")


def completed(table: PrintedTable) -> PrintedTable:
    """The table with the columns that only the other version of the paper prints: the epochs."""
    others = [v for v, name in printed_tables() if name == table.name and v != table.source]
    if not others:
        return table
    other = printed_table(table.name, others[0])
    missing = tuple(name for name in other.columns if name not in table.columns)
    by_place = {_place(row): row.values for row in other.rows}
    rows = []
    for row in table.rows:
        extra = {n: v for n, v in by_place.get(_place(row), {}).items() if n in missing}
        rows.append(replace(row, values={**row.values, **extra}))
    return replace(table, rows=tuple(rows), borrowed=missing)


def _place(row: PrintedRow) -> tuple[str, str, str]:
    return row.size, row.model, row.method


def number(text: str) -> float:
    """A printed value; what is printed '>1000' is only known to be above the cap: infinity."""
    return math.inf if text.startswith(">") else float(text)


def as_table(rows: Sequence[PrintedRow]) -> Table:
    """The comparison of printed means, one group per model size.

    The printed s_z and s_m are not read but computed.
    """
    means = [row for row in rows if row.run == MEAN]
    groups = []
    for size in dict.fromkeys(row.size for row in means):
        own = [row for row in means if row.size == size]
        model = next((row.model for row in own if row.method != "opt-dedup"), own[0].model)
        n_parameters = round(float(size[:-1]) * _COUNTS[size[-1]])
        groups.append(Group(f"{model}-{size}", tuple(map(row_of, own)), n_parameters))
    return table_of_means(groups)


def row_of(printed: PrintedRow) -> Row:
    """A printed row as a row of a comparison; printed scores are left out."""
    cells = {n: Cell(number(v)) for n, v in printed.values.items() if n in _COMPARED}
    return Row(
        printed.label, printed.role, cells, printed.method, printed.model, dict(printed.settings)
    )


def _read(path: Path) -> PrintedTable:
    lines = path.read_text(encoding="utf-8").splitlines()
    place = next(line.split(": ", 1)[1] for line in lines if line.startswith("# place: "))
    records = csv.DictReader(line for line in lines if not line.startswith("#"))
    source, _, name = path.stem.partition("-")
    return PrintedTable(name, source, place, tuple(map(_row, records)))


def _row(record: dict[str, str]) -> PrintedRow:
    values = {name: value for name, value in record.items() if value}
    size, model, method = (values.pop(name) for name in ("size", "model", "method"))
    settings = {name: float(values.pop(name)) for name in _SETTINGS if name in values}
    return PrintedRow(size, model, method, values, settings, values.pop("run", MEAN))
