"""The document for a terminal; the default."""

import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import fill, wrap
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.table import (
    INDISTINCT,
    INTERVALS_TITLE,
    SCORE_NAMES,
    Table,
    interval_columns,
)
from unlearnbench.registry import register
from unlearnbench.reporting.document import Case, Listing, Picture
from unlearnbench.reporting.report import Report

from ._texts import head_lines, one_line, passages_of

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Column, Group, Note, Row
    from unlearnbench.reporting.document import Block, Document

_RANK = {1: "¹", 2: "²", None: ""}
_LEGEND = "¹ best, ² second best of the compared rows; equal as printed is equal in rank."
_LINE = 100  # characters; longer lines of prose are hard to read
_TEXTS = 120  # of a listing that holds nothing but texts

_GAP = 2  # characters between columns

Lines = Sequence[str]  # a column: its head lines, then its cells
Text = Callable[["Row", "Column"], str]  # of a cell


@register
@dataclass(frozen=True)
class Plain(Report):
    """Text for a terminal, cut into blocks of columns where it is too narrow for all."""

    name: ClassVar[str] = "plain"

    width: int | None = None  # characters; None: the terminal's, or unlimited in a pipe or file

    def render(self, document: "Document") -> str:
        """The title and what holds for the whole, then the blocks one under the other."""
        terminal = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
        width = self.width or terminal
        title = one_line(document.title)
        head = [f"{title}\n{'=' * len(title)}"] if document.title else []
        notes = [_notes(document.notes, width)] if document.notes else []
        blocks = ["\n\n".join(_block(block, width)) for block in document.printed]
        return "\n\n".join([*head, *notes, "\n\n\n".join(blocks)]) + "\n"


def _block(block: "Block", width: int) -> Iterator[str]:
    match block:
        case Table():
            yield from _table(block, width)
        case Listing():
            yield from _listing(block, width)
        case Case():
            yield from _case(block, width)
        case Picture():
            yield _wrapped(one_line(f"Figure ({block.figure}): {block.caption}"), width)


def _table(table: "Table", width: int) -> Iterator[str]:
    for group in table.groups:
        size = f": {group.parameters} parameters" if group.parameters else ""
        yield f"{one_line(group.title)}{size}"
        yield from _columns(group, table.columns, width, group.text, partial(_marks, group))
        if any(len(row.runs) > 1 for row in group.rows):
            measured = [c for c in table.columns if c.name not in SCORE_NAMES]  # have no spread
            yield "Standard deviation over runs"
            yield from _columns(group, measured, width, group.spread)
        if columns := interval_columns([group], table.columns):
            yield INTERVALS_TITLE
            yield from _columns(group, columns, width, group.interval)
    yield _notes(table.notes, width, _LEGEND)


def _marks(group: "Group", row: "Row", column: "Column") -> str:
    cell = row.cells.get(column.name)
    doubt = INDISTINCT if cell and cell.indistinct else ""
    return group.flag(row, column) + doubt + _RANK[cell.rank if cell else None]


def _columns(
    group: "Group",
    columns: Sequence["Column"],
    width: int,
    text: Text,
    marks: Text = lambda _row, _column: "",
) -> Iterator[str]:
    labels = ["", "", *(f"{one_line(row.label)} {row.markers}".strip() for row in group.rows)]
    made = []
    for column in columns:
        after = [marks(row, column) for row in group.rows]
        # The marks have a place of their own, so that digits stand under digits.
        room = max(map(len, after), default=0)
        heads = [one_line(line) + " " * room for line in column.header]
        cells = zip(group.rows, after, strict=True)
        made.append([*heads, *(text(row, column) + signs.ljust(room) for row, signs in cells)])
    return _side_by_side([labels], made, 2, width)


def _listing(listing: Listing, width: int) -> Iterator[str]:
    heads = head_lines(listing.headers)
    lines = [*heads, *listing.rows]
    columns = [[one_line(cell) for cell in column] for column in zip(*lines, strict=True)]
    labels, values = columns[: listing.n_labels], columns[listing.n_labels :]
    yield _wrapped(one_line(listing.title), width)
    if values:
        yield from _side_by_side(labels, values, len(heads), width)
    else:
        yield _ruled(_narrowed(labels, len(heads), min(width, _TEXTS)), (), len(heads))
    if listing.notes:
        yield _notes(listing.notes, width)


def _case(case: Case, width: int) -> Iterator[str]:
    yield _wrapped(one_line(case.title), width)
    for passage in passages_of(case):
        facts = ", ".join(f"{one_line(name)} {value}" for name, value in passage.facts)
        label = f"{passage.label}: {facts}" if facts else passage.label
        yield f"{_wrapped(label, width)}\n{_wrapped(passage.text, width, '  ')}"
    if case.notes:
        yield _notes(case.notes, width)


def _notes(notes: Sequence["Note"], width: int, legend: str = "") -> str:
    texts = [legend, *(f"{note.marker} {one_line(note.text)}".strip() for note in notes)]
    lines = (fill(text, min(width, _LINE), subsequent_indent="  ") for text in texts if text)
    return "\n".join(lines)


def _wrapped(text: str, width: int, indent: str = "") -> str:
    # A Chinese character, say, is as wide as two letters.
    is_wide = any(unicodedata.east_asian_width(c) in "WF" for c in text)
    line = min(width, _LINE) // (2 if is_wide else 1)
    return fill(text, max(line, 20), initial_indent=indent, subsequent_indent=indent)


def _side_by_side(
    labels: Sequence[Lines], columns: Sequence[Lines], n_head: int, width: int
) -> Iterator[str]:
    """The columns to the right of the labels, at least one in each block; a rule under the head."""
    most = max(16, width // (2 * len(labels) or 1))
    names = [[*column[:n_head], *("\n".join(wrap(cell, most)) for cell in column[n_head:])]
             for column in labels]  # fmt: skip
    taken = sum(_width(column) + _GAP for column in names) - _GAP
    for block in _blocks(columns, width - taken):
        yield _ruled(names, block, n_head)


def _narrowed(columns: Sequence[Lines], n_head: int, width: int) -> list[list[str]]:
    """Columns of texts that stand side by side: the widest are wrapped, as much as need be."""
    left = width - _GAP * (len(columns) - 1)
    most: dict[int, int] = {}
    by_width = sorted(range(len(columns)), key=lambda at: _width(columns[at]))
    for n_done, at in enumerate(by_width):  # what is narrower than its share leaves room to others
        most[at] = min(_width(columns[at]), max(left // (len(columns) - n_done), 10))
        left -= most[at]
    return [
        [*column[:n_head], *("\n".join(wrap(cell, most[at])) for cell in column[n_head:])]
        for at, column in enumerate(columns)
    ]


def _blocks(columns: Sequence[Lines], width: int) -> list[list[Lines]]:
    blocks: list[list[Lines]] = [[]]
    left = width
    for column in columns:
        needed = _GAP + _width(column)
        if needed > left and blocks[-1]:
            blocks.append([])
            left = width
        blocks[-1].append(column)
        left -= needed
    return blocks


def _ruled(labels: Sequence[Lines], columns: Sequence[Lines], n_head: int) -> str:
    from tabulate import tabulate

    # As tabulate's own headers these lines would widen every column.
    lines = tabulate(
        list(zip(*labels, *columns, strict=True)),
        colalign=(*("left" for _ in labels), *("right" for _ in columns)),
        tablefmt="plain",
        disable_numparse=True,
        preserve_whitespace=True,
    ).split("\n")
    rule = "-" * max(map(len, lines))
    return "\n".join(line.rstrip() for line in [*lines[:n_head], rule, *lines[n_head:]])


def _width(column: Lines) -> int:
    return max(len(line) for cell in column for line in cell.split("\n"))
