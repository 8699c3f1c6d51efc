"""The table as comma-separated values."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.report import Report

if TYPE_CHECKING:
    from unlearnbench.columns import Column
    from unlearnbench.document import Document
    from unlearnbench.table import Cell, Group, Row, Table


@register
@dataclass(frozen=True)
class Csv(Report):
    """One line per row of the table: mean, standard deviation and runs of every metric."""

    name: ClassVar[str] = "csv"

    suffix: ClassVar[str] = ".csv"

    def render(self, document: "Document") -> str:
        """Uncapped values in printed units (EL10 in percent); an empty field was not measured."""
        return "\n".join(map(_table, document.tables))


def _table(table: "Table") -> str:
    columns = (*table.columns, *table.other_columns)
    lines = [
        {**_identity(group, row), **_values(row, columns)}
        for group in table.groups
        for row in group.rows
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _identity(group: "Group", row: "Row") -> dict[str, object]:
    return {
        "group": group.name,
        "parameters": group.n_parameters,
        "protocol": group.protocol_name,
        "dtype": group.dtype,
        "variant": group.variant,
        "row": row.label,
        "role": row.role,
        "method": row.method,
        "compared": row.compared,
        "n_runs": len(row.runs),
        "n_not_forgotten": row.n_not_forgotten,
        "n_failed": len(row.failures),
    }


def _values(row: "Row", columns: Sequence["Column"]) -> dict[str, object]:
    values: dict[str, object] = {}
    for column in columns:
        values.update(_triple(column.name, row.cells.get(column.name)))
    return values


def _triple(name: str, cell: "Cell | None") -> dict[str, object]:
    if name in ("s_z", "s_m"):
        return {name: _number(cell.mean if cell else None)}
    return {
        f"{name}_mean": _number(cell.mean if cell else None),
        f"{name}_std": _number(cell.std if cell else None),
        f"{name}_n": cell.n if cell else 0,
    }


def _number(value: float | None) -> str:
    # Ten digits: more than is known, and the same on every machine.
    return "" if value is None else f"{value:.10g}"
