"""The table as JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnbench.registry import register
from unlearnbench.report import Report

if TYPE_CHECKING:
    from unlearnbench.document import Document
    from unlearnbench.table import Group, Row, Table

SCHEMA_VERSION = 1


@register
@dataclass(frozen=True)
class Json(Report):
    """Everything the table knows: columns, groups, rows, cells with ranks, settings and notes."""

    name: ClassVar[str] = "json"

    suffix: ClassVar[str] = ".json"

    def render(self, document: "Document") -> str:
        """Uncapped values in printed units; one that is not finite is the text 'inf' or 'nan'."""
        (table,) = document.tables
        printed = {
            "schema_version": SCHEMA_VERSION,
            "columns": [asdict(column) for column in table.columns],
            "other_columns": [asdict(column) for column in table.other_columns],
            "groups": [_group(group, table) for group in table.groups],
            "notes": [asdict(note) for note in table.notes],
        }
        return json.dumps(_plain(printed), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _group(group: "Group", table: "Table") -> dict[str, Any]:
    stops = [stop.model_dump() for stop in group.stops]
    rows = [_row(group, row, table) for row in group.rows]
    return {**vars(group), "stops": stops, "parameters": group.parameters, "rows": rows}


def _row(group: "Group", row: "Row", table: "Table") -> dict[str, Any]:
    printed = {c.name: group.text(row, c) for c in (*table.columns, *table.other_columns)}
    cells = {name: {**vars(cell), "text": printed[name]} for name, cell in row.cells.items()}
    runs = [vars(run) for run in row.runs]
    stops = [stop.model_dump() for stop in row.stops]
    extra = {"compared": row.compared, "stops": stops, "runs": runs, "cells": cells}
    return {**vars(row), **extra}


def _plain(value: Any) -> Any:
    """The value in types JSON has, floats to ten digits: the same on every machine."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else str(value)
    return value
