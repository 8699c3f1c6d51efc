"""The document as JSON."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from unlearnbench.analysis.table import Table
from unlearnbench.registry import register
from unlearnbench.reporting.report import Report

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Column, Group
    from unlearnbench.reporting.document import Block, Document

SCHEMA_VERSION = 2
COLUMN_FIELDS = (  # of this schema, whatever else a metric may come to say
    "name", "label", "higher_is_better", "task", "metric",
    "scale", "decimals", "in_score", "capped",
)  # fmt: skip


@register
@dataclass(frozen=True)
class Json(Report):
    """Everything the document knows: columns, rows, cells with ranks, texts, settings, notes."""

    name: ClassVar[str] = "json"

    suffix: ClassVar[str] = ".json"

    def render(self, document: "Document") -> str:
        """Uncapped values in printed units; one that is not finite is the text 'inf' or 'nan'.

        A block's `kind` is table, listing, case, picture or data; the texts in it are whole.
        """
        printed = {
            "schema_version": SCHEMA_VERSION,
            "title": document.title,
            "blocks": [_block(block) for block in document.blocks],
            "notes": document.notes,
        }
        text = json.dumps(_plain(printed), indent=1, ensure_ascii=False, allow_nan=False)
        # What a terminal may take for a command; JSON's own controls are escaped already.
        return re.sub("[\x7f-\x9f\ud800-\udfff]", lambda c: f"\\u{ord(c[0]):04x}", text) + "\n"


def _block(block: "Block") -> dict[str, Any]:
    kind = type(block).__name__.lower()
    return {"kind": kind, **(_table(block) if isinstance(block, Table) else vars(block))}


def _table(table: "Table") -> dict[str, Any]:
    def of(columns: Sequence["Column"]) -> list[dict[str, Any]]:
        return [{name: getattr(column, name) for name in COLUMN_FIELDS} for column in columns]

    return {
        "columns": of(table.columns),
        "other_columns": of(table.other_columns),
        "groups": [_group(group, table) for group in table.groups],
        "notes": table.notes,
    }


def _group(group: "Group", table: "Table") -> dict[str, Any]:
    rows = []
    for row in group.rows:
        printed = {c.name: group.text(row, c) for c in (*table.columns, *table.other_columns)}
        cells = {name: {**vars(cell), "text": printed[name]} for name, cell in row.cells.items()}
        # A plain schedule is not said, as it was not before there were others.
        own = {name: part for name, part in vars(row).items() if name != "schedule" or part}
        rows.append({**own, "compared": row.compared, "cells": cells})
    of_group = {n: part for n, part in vars(group).items() if n != "benchmark" or part}
    return {**of_group, "parameters": group.parameters, "rows": rows}


def _plain(value: Any) -> Any:
    """The value in types JSON has, floats to ten digits: the same on every machine."""
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if is_dataclass(value):
        return _plain(vars(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else str(value)
    return value
