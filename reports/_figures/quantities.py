"""What figures show of a table: rows by short names, values as they count, one perplexity of two.

A mean above the perplexity cap counts as the cap, as it does in s_z and s_m.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import S_M, S_Z, Column

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Group, Row, Table
    from unlearnbench.results.record import Result

PERPLEXITY = Column("perplexity", "Perplexity", False, capped=True)


@dataclass(frozen=True)
class Quantity:
    """A column, or the geometric mean of several, with a value for a row and for a run."""

    column: Column
    parts: tuple[Column, ...]

    @property
    def title(self) -> str:
        """Label and which way is better."""
        return f"{self.column.label} {self.column.arrow}"

    @property
    def meaning(self) -> str:
        """What it is made of, in words; empty for a plain column."""
        if self.column.name != PERPLEXITY.name:
            return ""
        if len(self.parts) == 1:
            return f"Perplexity is {self.parts[0].label}."
        return f"Perplexity is the geometric mean of {' and '.join(p.label for p in self.parts)}."

    def of_row(self, row: "Row", cap: float | None) -> float | None:
        """The value of a row's means; None unless all parts were measured and are finite."""
        return self._joined([row.mean(part.name) for part in self.parts], cap)

    def of_run(self, result: "Result", cap: float | None) -> float | None:
        """The value of one result, likewise."""
        return self._joined([part.value(result) for part in self.parts], cap)

    def is_over_cap(self, row: "Row", cap: float | None) -> bool:
        """Whether a part counts as the cap, so that the value is only a lower bound."""
        means = [(part, row.mean(part.name)) for part in self.parts]
        return any(m is not None and part.is_over_cap(m, cap) for part, m in means)

    def text(self, row: "Row", cap: float | None) -> str:
        """The value of a row as it is printed; with '>' if it is a lower bound."""
        return self.printed(self.of_row(row, cap), self.is_over_cap(row, cap))

    def printed(self, value: float | None, is_bound: bool = False) -> str:
        """A value as it is printed; '>1000' if the true one is above it."""
        return f">{value:.4g}" if is_bound and value is not None else self.column.text(value)

    def _joined(self, values: Sequence[float | None], cap: float | None) -> float | None:
        counted = [counts_as(p, v, cap) for p, v in zip(self.parts, values, strict=True)]
        present = [v for v in counted if v is not None]
        if not present or len(present) < len(self.parts):
            return None
        return present[0] if len(present) == 1 else geometric_mean(present)


def quantity(table: "Table", name: str) -> Quantity | None:
    """The column of that name, or `perplexity` of the scored texts; None if nobody measured it."""
    if name == PERPLEXITY.name:
        parts = tuple(c for c in measured(table) if c.capped)
        return Quantity(PERPLEXITY, parts) if parts else None
    column = next((c for c in measured(table) if c.name == name), None)
    return Quantity(column, (column,)) if column else None


def of(table: "Table", names: Sequence[str]) -> list[Quantity]:
    """Those of that which was measured."""
    return [one for name in names if (one := quantity(table, name)) is not None]


def measured(table: "Table") -> tuple[Column, ...]:
    """The scores, then the metric columns, that any row has a value of."""
    rows = [row for group in table.groups for row in group.rows]
    columns = (S_Z, S_M, *table.metric_columns)
    return tuple(c for c in columns if any(c.name in row.cells for row in rows))


def counts_as(column: Column, value: float | None, cap: float | None) -> float | None:
    """The value, or the cap if it is above it; None where there is no finite one."""
    if value is None or math.isnan(value):
        return None
    counted = cap if cap is not None and column.is_over_cap(value, cap) else value
    return counted if math.isfinite(counted) else None


def row_names(group: "Group") -> dict[str, str]:
    """Names by label, without the model's that all methods' labels begin with: 'NEO + '.

    So a method has one name, and one colour, whatever the model.
    """
    starts = {row.label.partition(" + ")[0] + " + " for row in method_rows(group)}
    start = starts.pop() if len(starts) == 1 else ""
    return {row.label: row.label.removeprefix(start) for row in group.rows}


def method_rows(group: "Group") -> list["Row"]:
    """The rows that were unlearned."""
    return [row for row in group.rows if row.role == "method"]


def families(group: "Group") -> list[list["Row"]]:
    """The rows of each method, in the table's order."""
    rows = method_rows(group)
    return [[r for r in rows if r.method == m] for m in dict.fromkeys(r.method for r in rows)]


def stop_lines(group: "Group", field: str, scale: float) -> tuple[float, ...]:
    """The distinct limits, in printed units, that the methods' stop lines set to 'ma' or 'el'."""
    stops = [stop for row in method_rows(group) for stop in row.stops]
    return tuple(sorted({round(getattr(stop, field) * scale, 2) for stop in stops}))


def shown_rows(group: "Group") -> tuple["Row", ...]:
    """The rows that are no mere reference, failed ones included."""
    return tuple(row for row in group.rows if row.role in ("method", "dedup"))


def names_of(table: "Table") -> list[str]:
    """The short names of all rows shown, in the table's order."""
    return [row_names(g)[row.label] for g in table.groups for row in shown_rows(g)]


def listed_groups(table: "Table") -> str:
    """The groups by title, with their sizes: 'nano-neo (1.1M)'."""
    titles = [f"{g.title} ({g.parameters})" if g.parameters else g.title for g in table.groups]
    return ", ".join(titles)
