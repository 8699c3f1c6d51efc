"""The table as Markdown."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.report import Report

if TYPE_CHECKING:
    from unlearnbench.columns import Column
    from unlearnbench.document import Document
    from unlearnbench.table import Group, Row, Table

_RANK = {1: "**{}**", 2: "<ins>{}</ins>", None: "{}"}
_LEGEND = (
    "Bold is the best and underlined the second best of the compared rows; "
    "equal as printed is equal in rank."
)


@register
@dataclass(frozen=True)
class Markdown(Report):
    """GitHub's Markdown: means with their standard deviation over runs, notes as a list."""

    name: ClassVar[str] = "markdown"

    suffix: ClassVar[str] = ".md"

    def render(self, document: "Document") -> str:
        """One table per group under its heading, then the notes."""
        return "\n".join(map(_table, document.tables))


def _table(table: "Table") -> str:
    groups = [_group(group, table) for group in table.groups]
    notes = [_LEGEND, *(f"{note.marker} {note.text}".strip() for note in table.notes)]
    return "\n\n".join([*groups, "\n".join(f"- {_escaped(n)}" for n in notes)]) + "\n"


def _group(group: "Group", table: "Table") -> str:
    from tabulate import tabulate

    size = f" ({group.parameters} parameters)" if group.parameters else ""
    columns = table.columns
    body = tabulate(
        [[_label(row), *(_cell(group, row, c) for c in columns)] for row in group.rows],
        headers=["", *(_escaped(f"{c.label} {c.arrow}".strip()) for c in columns)],
        colalign=("left", *("right" for _ in columns)),
        tablefmt="pipe",
        disable_numparse=True,
    )
    return f"### {_escaped(group.title)}{size}\n\n{body}"


def _label(row: "Row") -> str:
    return f"{_escaped(row.label)} {row.markers}".strip()


def _cell(group: "Group", row: "Row", column: "Column") -> str:
    cell = row.cells.get(column.name)
    text = _RANK[cell.rank if cell else None].format(group.text(row, column))
    spread = group.spread(row, column)
    told = f" ±{spread}" if cell is not None and cell.std is not None and spread != "–" else ""
    return text + group.flag(row, column) + told


def _escaped(text: str) -> str:
    """Text that Markdown prints as it is; single underscores and '<' before a space already do."""
    return re.sub(r"([\\`*|\[\]]|__|<(?! ))", r"\\\1", text)
