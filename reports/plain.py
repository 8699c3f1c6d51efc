"""The table for a terminal; the default."""

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.report import Report

if TYPE_CHECKING:
    from unlearnbench.columns import Column
    from unlearnbench.document import Document
    from unlearnbench.table import Group, Row, Table

_RANK = {1: "¹", 2: "²", None: " "}
_LEGEND = "¹ best, ² second best of the compared rows; equal as printed is equal in rank."

Text = Callable[["Row", "Column"], str]


@register
@dataclass(frozen=True)
class Plain(Report):
    """Text for a terminal, cut into blocks of columns where it is too narrow for all."""

    name: ClassVar[str] = "plain"

    width: int | None = None  # characters; None: the terminal's, or unlimited in a pipe or file

    def render(self, document: "Document") -> str:
        """The blocks one under the other."""
        return "\n".join(self._table(table) for table in document.tables)

    def _table(self, table: "Table") -> str:
        width = self.width or _terminal_width()
        blocks = [_group(group, table, width) for group in table.groups]
        notes = [_LEGEND, *(f"{note.marker} {note.text}".strip() for note in table.notes)]
        lines = [textwrap.fill(note, min(width, 100), subsequent_indent="  ") for note in notes]
        return "\n\n".join([*blocks, "\n".join(lines)]) + "\n"


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def _group(group: "Group", table: "Table", width: int) -> str:
    size = f": {group.parameters} parameters" if group.parameters else ""
    columns = table.columns
    parts = [f"{group.title}{size}", *_tables(group, columns, width, _ranked(group))]
    if any(len(row.runs) > 1 for row in group.rows):
        measured = [c for c in columns if c.name not in ("s_z", "s_m")]  # scores have no spread
        parts.append("Standard deviation over runs")
        parts += _tables(group, measured, width, group.spread)
    return "\n\n".join(parts)


def _ranked(group: "Group") -> Text:
    def text(row: "Row", column: "Column") -> str:
        cell = row.cells.get(column.name)
        flag = group.flag(row, column)
        return group.text(row, column) + flag + _RANK[cell.rank if cell else None]

    return text


def _tables(group: "Group", columns: Sequence["Column"], width: int, text: Text) -> Iterator[str]:
    labels = [f"{row.label} {row.markers}".strip() for row in group.rows]
    printed = {c.name: [*_header(c), *(text(row, c) for row in group.rows)] for c in columns}
    for block in _blocks(columns, printed, width - max(map(len, labels))):
        yield _ruled(["", "", *labels], [printed[c.name] for c in block])


def _ruled(labels: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    """The columns side by side, a rule under the first two lines."""
    from tabulate import tabulate

    # As tabulate's own headers these two lines would widen every column.
    lines = tabulate(
        list(zip(labels, *columns, strict=True)),
        colalign=("left", *("right" for _ in columns)),
        tablefmt="plain",
        disable_numparse=True,
        preserve_whitespace=True,
    ).split("\n")
    rule = "-" * max(map(len, lines))
    return "\n".join(line.rstrip() for line in [*lines[:2], rule, *lines[2:]])


def _header(column: "Column") -> tuple[str, str]:
    # One place to the right, where the cells have their rank.
    first, second = column.header
    return f"{first} ", f"{second} "


def _blocks(
    columns: Sequence["Column"], printed: dict[str, list[str]], width: int
) -> list[list["Column"]]:
    """The columns in as many blocks as fit into the width, at least one column each."""
    blocks: list[list[Column]] = [[]]
    left = width
    for column in columns:
        needed = 2 + max(map(len, printed[column.name]))
        if needed > left and blocks[-1]:
            blocks.append([])
            left = width
        blocks[-1].append(column)
        left -= needed
    return blocks
