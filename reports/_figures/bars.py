"""Bars: one metric of one row each, a panel per metric, and what a caption says of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.analysis.table import ABSENT, INDISTINCT, P_VALUE

from . import drawing
from .drawing import FOREGROUND
from .quantities import counts_as, measured, row_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from unlearnbench.analysis.table import Column, Group, Row, Table


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

    @property
    def weight(self) -> str:
        """Of the font of its text."""
        return "bold" if self.best else "normal"


@dataclass(frozen=True)
class Block:
    """The bars of one group, or of one method's variants, and where reference rows stand."""

    title: str
    bars: tuple[Bar, ...]
    references: tuple[tuple[str, float], ...] = ()  # role and value


@dataclass(frozen=True)
class Panel:
    """One metric."""

    column: "Column"
    blocks: tuple[Block, ...]

    @property
    def bars(self) -> list[Bar]:
        """The bars of all blocks."""
        return [bar for block in self.blocks for bar in block.bars]

    @property
    def start(self) -> float:
        """Where bars begin: on the log axis of perplexities at 1."""
        return 1.0 if self.column.capped else 0.0


def panels_of(
    table: "Table", blocks: "Callable[[Group, Column], Iterable[Block]]"
) -> tuple[Panel, ...]:
    """One panel per score and metric that any bar has a value of."""
    panels = (
        Panel(column, tuple(block for group in table.groups for block in blocks(group, column)))
        for column in measured(table)
        if column.unit != P_VALUE  # whose bars are all or nothing
    )
    return tuple(p for p in panels if any(bar.value is not None for bar in p.bars))


def bar_of(group: "Group", row: "Row", column: "Column") -> Bar:
    """A cell as a bar; its interval is cut at the cap as its value is."""
    name, cell = row_names(group)[row.label], row.cells.get(column.name)
    if cell is None:
        return Bar(name, None)
    value, low, high = (counts_as(column, v, group.cap) for v in (cell.mean, cell.low, cell.high))
    text = group.text(row, column) + (INDISTINCT if cell.indistinct else "")
    return Bar(name, value, low, high, text, row.compared and cell.rank == 1)


def draw_bar(axes: "Axes", bar: Bar, at: float, start: float, across: bool, **looks: Any) -> None:
    """A bar from `start` to its value with its whisker; nothing where it has no value."""
    if bar.value is None:
        return
    draw = axes.barh if across else axes.bar
    draw(at, bar.value - start, 0.72 if across else 0.8, start, **looks)
    if bar.reach is not None:
        x, y = (bar.value, at) if across else (at, bar.value)
        reach: dict[str, Any] = {"xerr" if across else "yerr": [[part] for part in bar.reach]}
        axes.errorbar(x, y, **reach, color=FOREGROUND, linewidth=0.8, capsize=1.5)


def fit_axis(axes: "Axes", which: Literal["x", "y"], column: "Column") -> None:
    """A log axis from 1 for a perplexity; else one with a line at 0, stretched to no less than
    what can be told apart as printed."""
    if column.capped:
        drawing.log_axis(axes, which, start=1.0)
        return
    low, high = getattr(axes.dataLim, f"interval{which}")
    limits = drawing.least_limits(low, high, column.decimals)
    axes.set(**{f"{which}lim": limits or getattr(axes, f"get_{which}lim")()})
    (axes.axvline if which == "x" else axes.axhline)(0, color=FOREGROUND, linewidth=0.6)


def what_bars_say(panels: Sequence[Panel]) -> list[str]:
    """The sentences of a caption about arrows, marks and whiskers."""
    sentences = ["Arrows show which way is better; bold is the best of the compared rows."]
    if any(INDISTINCT in bar.text for panel in panels for bar in panel.bars):
        sentences.append(f"{INDISTINCT}: not told apart from the second by a paired test.")
    with_intervals = [p.column.label for p in panels if any(bar.reach for bar in p.bars)]
    without = [p.column.label for p in panels if p.column.label not in with_intervals]
    if with_intervals:
        whiskers = "Whiskers: 95% intervals over documents, runs held fixed"
        sentences.append(f"{whiskers}: {', '.join(with_intervals)}.")
    if without:
        sentences.append(f"Without an interval: {', '.join(without)}.")
    if any(panel.column.capped for panel in panels):
        sentences.append("Perplexities are on a log axis from 1, cut at the cap of the table.")
    return sentences
