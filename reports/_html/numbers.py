"""One number of the comparison: as printed, what it sorts by, and what is said of it."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from unlearnbench.analysis.footnotes import runs
from unlearnbench.analysis.table import ABSENT, INDISTINCT, Cell, Column, Group, Row

_RANKS = {1: "the best of the compared rows", 2: "the second best of the compared rows"}


@dataclass(frozen=True)
class Number:
    """One printed number."""

    text: str
    sort: str  # what the browser orders by; empty: nothing was measured
    rank: int | None
    marks: str  # footnote markers of the number itself
    spread: str  # empty without one
    interval: str  # '[40.1, 43.2]'; empty without one
    heat: int | None  # its step from worst to best in its column; None: has no place in it
    hints: tuple[str, ...]  # what hovering shows


def number(group: Group, row: Row, column: Column, heat: int | None) -> Number:
    """A row's value in a column; of one that was not measured a dash."""
    cell, spread = row.cells.get(column.name), group.spread(row, column)
    interval = group.interval(row, column)
    spread = "" if spread == ABSENT else spread
    interval = "" if interval == ABSENT else interval
    sort = ""
    if cell is not None and not math.isnan(cell.mean):
        sort = repr(cell.mean).replace("inf", "Infinity")  # as JavaScript has it
    return Number(
        text=group.text(row, column),
        sort=sort,
        rank=cell.rank if cell else None,
        marks=(INDISTINCT if cell and cell.indistinct else "") + group.flag(row, column),
        spread=spread,
        interval=interval,
        heat=heat,
        hints=tuple(_hints(cell, spread, interval)) if cell else (),
    )


def _hints(cell: Cell, spread: str, interval: str) -> Iterator[str]:
    """The interval and n first: they are what one looks for."""
    if interval:
        yield f"95% interval over documents, the runs held fixed: {interval}"
    if documents := [str(n) for n in cell.n_documents if n]:
        yield f"n = {' or '.join(documents)} documents"
    mean = f"mean of {runs(cell.n)}" if cell.n > 1 else "one run"
    yield mean + (f", standard deviation {spread}" if spread else "")
    if cell.rank in _RANKS:
        yield _RANKS[cell.rank]
    if cell.indistinct:
        yield "not told apart from the second by a paired test"
    if cell.n_degenerate:
        yield f"the same answer to every document in {cell.n_degenerate} of the runs"


class Keys:
    """Short names of the page's rows, each given once."""

    def __init__(self) -> None:
        """None given yet."""
        self._given: set[str] = set()

    def key(self, label: str) -> str:
        """The label's letters and digits, 'neo-icu-alpha-0-1'; with a number if it was given."""
        plain = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:60] or "row"
        names = (plain if n == 1 else f"{plain}-{n}" for n in count(1))
        key = next(name for name in names if name not in self._given)
        self._given.add(key)
        return key
