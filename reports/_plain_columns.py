"""Columns of text side by side, in as many blocks as a terminal's width asks for."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

_GAP = 2  # characters between columns

Lines = Sequence[str]  # a column: its head lines, then its cells


def side_by_side(
    labels: Sequence[Lines], columns: Sequence[Lines], n_head: int, width: int
) -> Iterator[str]:
    """The columns to the right of the labels, at least one in each block; a rule under the head."""
    most = max(16, width // (2 * len(labels) or 1))
    names = [_narrowed(column, n_head, most) for column in labels]
    taken = sum(_width(column) + _GAP for column in names) - _GAP
    for block in _blocks(columns, width - taken):
        yield _ruled(names, block, n_head)


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


def _narrowed(column: Lines, n_head: int, width: int) -> list[str]:
    """The column with its cells broken into lines of at most that width."""
    return [*column[:n_head], *("\n".join(wrap(cell, width)) for cell in column[n_head:])]


def _width(column: Lines) -> int:
    return max(len(line) for cell in column for line in cell.split("\n"))
