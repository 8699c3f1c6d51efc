"""Every scored metric of every row as bars with their intervals."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register

from ._figures.bars import Bar, bar_of, what_bars_say
from ._figures.drawing import FOREGROUND, LINE_OF_ROLE, ROLE_NAMES, StyledFigure, style
from ._figures.quantities import counts_as, listed_groups, measured, names_of, shown_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Column, Group, Table
    from unlearnbench.reporting.document import Findings

    from ._figures.drawing import Mark

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

    @property
    def roles(self) -> set[str]:
        """Which reference rows it has."""
        return {role for block in self.blocks for role, _ in block.references}


@register
@dataclass(frozen=True)
class ScoreBars(StyledFigure):
    """s_z, s_m and every metric of each row as bars with 95% intervals, a panel per metric."""

    name: ClassVar[str] = "score-bars"

    def draw(self, findings: "Findings") -> "Drawing | None":
        """Panels of horizontal bars; None if no row but references has a value."""
        panels = panels_of(findings.table)
        with style(self.name):
            return _drawing(panels, names_of(findings.table)) if panels else None

    def caption(self, findings: "Findings") -> str:
        """What the bars, whiskers and lines are, and which row is first."""
        table = findings.table
        panels = panels_of(table)
        if not panels:
            return "No bars: no row but references has a value."
        sentences = [
            f"Metrics by row: {listed_groups(table)}.",
            *what_bars_say([(p.column, [bar for _, bar in p.bars]) for p in panels]),
            _of_references(panels),
            *map(_firsts, table.groups),
        ]
        return " ".join(filter(None, sentences))


def panels_of(table: "Table") -> tuple[Panel, ...]:
    """One panel per score and metric that any row shown has."""
    panels = [Panel(c, tuple(_block(g, c) for g in table.groups)) for c in measured(table)]
    return tuple(p for p in panels if any(bar.value is not None for _, bar in p.bars))


def _block(group: "Group", column: "Column") -> Block:
    references = [
        (row.role, value)
        for row in group.rows
        if row.role in LINE_OF_ROLE
        and (value := counts_as(column, row.mean(column.name), group.cap)) is not None
    ]
    bars = tuple(bar_of(group, row, column) for row in shown_rows(group))
    return Block(group.title, bars, tuple(references))


def _of_references(panels: tuple[Panel, ...]) -> str:
    roles = set().union(*(panel.roles for panel in panels))
    styles = {"before": "dotted", "retrained": "dashed"}
    styles_of_roles = "; ".join(f"{styles[r]}: {ROLE_NAMES[r]}" for r in LINE_OF_ROLE if r in roles)
    return f"For reference, {styles_of_roles}." if styles_of_roles else ""


def _firsts(group: "Group") -> str:
    firsts = []
    for score in ("s_z", "s_m"):
        first = [r for r in group.compared if score in r.cells and r.cells[score].rank == 1]
        firsts += [f"{r.label} by {score} ({r.cells[score].mean:z.2f})" for r in first]
    return f"First in {group.title}: {', '.join(firsts)}." if firsts else ""


def _drawing(panels: tuple[Panel, ...], names: list[str]) -> "Drawing":
    from ._figures.drawing import grid_of_axes, grid_shape, marks, new_drawing, wrapped

    places = _places(panels[0])
    n_lines = max(wrapped(name or group).count("\n") + 1 for group, name in places)
    pitch = max(0.19 if len(places) <= 12 else 0.145, 0.13 * n_lines)  # inches
    n_rows, n_columns = grid_shape(len(panels), MOST_COLUMNS)
    bottom = max(places.values()) + 0.6
    drawing = new_drawing(n_rows * (bottom * pitch + 0.5) + 0.3)
    for i, axes in enumerate(grid_of_axes(drawing, len(panels), MOST_COLUMNS, sharey=True)):
        _draw_panel(axes, panels[i], places, marks(names))
        axes.set_ylim(bottom, -0.6)
        if i % n_columns == 0:
            _name_rows(axes, places)
        else:
            axes.tick_params(left=False, labelleft=False)
    _explain_lines(drawing, panels)
    return drawing


def _places(panel: Panel) -> Places:
    keys: list[tuple[str, str]] = []
    for block in panel.blocks:
        keys += [(block.title, "")] if len(panel.blocks) > 1 else []
        keys += [(block.title, bar.name) for bar in block.bars]
    return {key: float(i) for i, key in enumerate(keys)}


def _draw_panel(axes: "Axes", panel: Panel, places: Places, marks: "dict[str, Mark]") -> None:
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

    from ._figures.drawing import least_limits, log_axis

    if column.capped:
        axes.set_xscale("log")
        log_axis(axes, "x", start=1.0)
        return
    low, high = axes.dataLim.intervalx
    axes.set_xlim(least_limits(low, high, column.decimals) or axes.get_xlim())
    axes.axvline(0, color=FOREGROUND, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))


def _draw_bar(axes: "Axes", bar: Bar, at: float, mark: "Mark", start: float) -> None:
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
    from ._figures.drawing import wrapped

    axes.set_yticks(list(places.values()), [wrapped(name or group) for group, name in places])
    for (_, name), label in zip(places, axes.get_yticklabels(), strict=True):
        label.set_fontweight("normal" if name else "bold")
    axes.tick_params(axis="y", length=0)


def _explain_lines(drawing: "Drawing", panels: tuple[Panel, ...]) -> None:
    from ._figures.drawing import legend, reference_lines

    lines = reference_lines(set().union(*(panel.roles for panel in panels)))
    if lines:
        legend(drawing, lines)
