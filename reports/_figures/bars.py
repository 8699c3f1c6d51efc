"""Bars: one metric of one row each, and what a caption says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import ABSENT, INDISTINCT

from .quantities import counts_as, row_names

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Column, Group, Row


@dataclass(frozen=True)
class Bar:
    """One metric of one row as a bar, in printed units."""

    name: str  # the row's
    value: float | None  # where it ends, the cap at most; None: nothing to draw
    low: float | None = None  # 95% interval
    high: float | None = None
    text: str = ABSENT  # as the table prints it
    best: bool = False

    @property
    def reach(self) -> tuple[float, float] | None:
        """How far its interval goes below and above its value; None without one."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return max(0.0, self.value - self.low), max(0.0, self.high - self.value)


def bar_of(group: "Group", row: "Row", column: "Column") -> Bar:
    """A cell as a bar; its interval is cut at the cap as its value is."""
    name, cell = row_names(group)[row.label], row.cells.get(column.name)
    if cell is None:
        return Bar(name, None)
    value, low, high = (counts_as(column, v, group.cap) for v in (cell.mean, cell.low, cell.high))
    text = group.text(row, column) + (INDISTINCT if cell.indistinct else "")
    return Bar(name, value, low, high, text, row.compared and cell.rank == 1)


def what_bars_say(panels: "Sequence[tuple[Column, Sequence[Bar]]]") -> list[str]:
    """The sentences of a caption about arrows, marks and whiskers, by panel."""
    bars = [bar for _, own in panels for bar in own]
    sentences = ["Arrows show which way is better; bold is the best of the compared rows."]
    if any(INDISTINCT in bar.text for bar in bars):
        sentences.append(f"{INDISTINCT}: not told apart from the second by a paired test.")
    has = {column.label: any(bar.reach for bar in own) for column, own in panels}
    with_intervals = ", ".join(label for label, applies in has.items() if applies)
    without = ", ".join(label for label, applies in has.items() if not applies)
    if with_intervals:
        sentences.append(
            f"Whiskers: 95% intervals over documents, runs held fixed: {with_intervals}."
        )
    if without:
        sentences.append(f"Without an interval: {without}.")
    if any(column.capped for column, _ in panels):
        sentences.append("Perplexities are on a log axis from 1, cut at the cap of the table.")
    return sentences
