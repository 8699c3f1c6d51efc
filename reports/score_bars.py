"""Every scored metric of every row as bars with their intervals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register

from ._figures import drawing, quantities
from ._figures.bars import Bar, bar_of, what_bars_say
from ._figures.drawing import FOREGROUND, LINE_OF_ROLE, ROLE_NAMES, Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Column, Group, Table
    from unlearnbench.reporting.document import Findings

MOST_COLUMNS = 5
Places = dict[tuple[str, str], float]  # from the top, by group and row; a group's own has no row


@dataclass(frozen=True)
class Block:
    """The bars of one group, and where its reference rows stand."""

    title: str
    bars: tuple[Bar, ...]
    references: tuple[tuple[str, float], ...]  # role and value


@dataclass(frozen=True)
class Panel:
    """One metric."""

    column: "Column"
    blocks: tuple[Block, ...]

    @property
    def bars(self) -> list[tuple[str, Bar]]:
        """Every bar with its group's title."""
        return [(block.title, bar) for block in self.blocks for bar in block.bars]


@register
@dataclass(frozen=True)
class ScoreBars(StyledFigure[tuple[Panel, ...]]):
    """s_z, s_m and every metric of each row as bars with 95% intervals, a panel per metric."""

    name: ClassVar[str] = "score-bars"
    absent = "No bars: no row but references has a value."

    def panels(self, findings: "Findings") -> tuple[Panel, ...]:
        """One per score and metric that any row but references has."""
        return panels_of(findings.table)

    def sentences(self, findings: "Findings", panels: tuple[Panel, ...]) -> Iterator[str]:
        """What the bars, whiskers and lines are, and which row is first."""
        yield f"Metrics by row: {quantities.listed_groups(findings.table)}."
        yield from what_bars_say([(p.column, [bar for _, bar in p.bars]) for p in panels])
        styles = {"before": "dotted", "retrained": "dashed"}
        lines = [f"{styles[r]}: {ROLE_NAMES[r]}" for r in LINE_OF_ROLE if r in _roles(panels)]
        yield f"For reference, {'; '.join(lines)}." if lines else ""
        yield from map(_firsts, findings.table.groups)

    def draw_panels(self, panels: tuple[Panel, ...], marks: dict[str, Mark]) -> "Drawing":
        """Horizontal bars, the rows named at the left of each line of panels."""
        places = _places(panels[0])
        n_lines = max(drawing.wrapped(name or group).count("\n") + 1 for group, name in places)
        pitch = max(0.19 if len(places) <= 12 else 0.145, 0.13 * n_lines)  # inches
        n_rows, n_columns = drawing.grid_shape(len(panels), MOST_COLUMNS)
        bottom = max(places.values()) + 0.6
        picture = drawing.blank(n_rows * (bottom * pitch + 0.5) + 0.3)
        for i, axes in enumerate(drawing.axes_in(picture, len(panels), MOST_COLUMNS, sharey=True)):
            _draw_panel(axes, panels[i], places, marks)
            axes.set_ylim(bottom, -0.6)
            if i % n_columns == 0:
                _name_rows(axes, places)
            else:
                axes.tick_params(left=False, labelleft=False)
        if lines := drawing.reference_lines(_roles(panels)):
            drawing.legend(picture, lines)
        return picture


def panels_of(table: "Table") -> tuple[Panel, ...]:
    """One panel per score and metric that any row shown has."""
    panels = [
        Panel(c, tuple(_block(g, c) for g in table.groups)) for c in quantities.measured(table)
    ]
    return tuple(p for p in panels if any(bar.value is not None for _, bar in p.bars))


def _block(group: "Group", column: "Column") -> Block:
    references = [
        (row.role, value)
        for row in group.rows
        if row.role in LINE_OF_ROLE
        and (value := quantities.counts_as(column, row.mean(column.name), group.cap)) is not None
    ]
    bars = tuple(bar_of(group, row, column) for row in quantities.shown_rows(group))
    return Block(group.title, bars, tuple(references))


def _roles(panels: tuple[Panel, ...]) -> set[str]:
    """Which reference rows stand in any panel."""
    return {role for p in panels for block in p.blocks for role, _ in block.references}


def _firsts(group: "Group") -> str:
    firsts = []
    for score in ("s_z", "s_m"):
        first = [r for r in group.compared if score in r.cells and r.cells[score].rank == 1]
        firsts += [f"{r.label} by {score} ({r.cells[score].mean:z.2f})" for r in first]
    return f"First in {group.title}: {', '.join(firsts)}." if firsts else ""


def _places(panel: Panel) -> Places:
    keys: list[tuple[str, str]] = []
    for block in panel.blocks:
        keys += [(block.title, "")] if len(panel.blocks) > 1 else []
        keys += [(block.title, bar.name) for bar in block.bars]
    return {key: float(i) for i, key in enumerate(keys)}


def _draw_panel(axes: "Axes", panel: Panel, places: Places, marks: dict[str, Mark]) -> None:
    start = 1.0 if panel.column.capped else 0.0
    for group, bar in panel.bars:
        _draw_bar(axes, bar, places[group, bar.name], marks[bar.name], start)
    for block in panel.blocks:
        own = [places[block.title, bar.name] for bar in block.bars]
        for role, value in block.references if own else ():
            ends = [min(own) - 0.5, max(own) + 0.5]
            axes.plot([value] * 2, ends, LINE_OF_ROLE[role], color=FOREGROUND, linewidth=0.9)
    axes.set_title(f"{panel.column.label} {panel.column.arrow}", fontsize=7.5)
    _scale(axes, panel.column)


def _scale(axes: "Axes", column: "Column") -> None:
    from matplotlib.ticker import MaxNLocator

    if column.capped:
        axes.set_xscale("log")
        drawing.log_axis(axes, "x", start=1.0)
        return
    low, high = axes.dataLim.intervalx
    axes.set_xlim(drawing.least_limits(low, high, column.decimals) or axes.get_xlim())
    axes.axvline(0, color=FOREGROUND, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))


def _draw_bar(axes: "Axes", bar: Bar, at: float, mark: Mark, start: float) -> None:
    weight = "bold" if bar.best else "normal"
    axes.text(1.05, at, bar.text, transform=axes.get_yaxis_transform(), va="center",
              fontsize=6.5, fontweight=weight)  # fmt: skip
    if bar.value is None:
        return
    axes.barh(at, bar.value - start, left=start, height=0.72, color=mark.colour)
    if bar.reach is not None:
        reach = [[length] for length in bar.reach]
        axes.errorbar(bar.value, at, xerr=reach, color=FOREGROUND, linewidth=0.8, capsize=1.5)


def _name_rows(axes: "Axes", places: Places) -> None:
    axes.set_yticks(
        list(places.values()), [drawing.wrapped(name or group) for group, name in places]
    )
    for (_, name), label in zip(places, axes.get_yticklabels(), strict=True):
        label.set_fontweight("normal" if name else "bold")
    axes.tick_params(axis="y", length=0)
