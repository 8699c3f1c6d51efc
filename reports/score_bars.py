"""Every scored metric of every row as bars with their intervals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register

from ._figures import drawing, quantities
from ._figures.bars import Block, Panel, bar_of, draw_bar, fit_axis, panels_of, what_bars_say
from ._figures.drawing import FOREGROUND, LINE_OF_ROLE, ROLE_NAMES, Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Column, Group
    from unlearnbench.reporting.document import Findings

MOST_COLUMNS = 5
Places = dict[tuple[str, str], int]  # from the top, by group and row; a group's own has no row


@register
@dataclass(frozen=True)
class ScoreBars(StyledFigure[tuple[Panel, ...]]):
    """s_z, s_m and every metric of each row as bars with 95% intervals, a panel per metric."""

    name: ClassVar[str] = "score-bars"
    absent = "No bars: no row but references has a value."

    def panels(self, findings: "Findings") -> tuple[Panel, ...]:
        """One per score and metric that any row but references has."""
        return panels_of(findings.table, lambda group, column: [_block(group, column)])

    def sentences(self, findings: "Findings", panels: tuple[Panel, ...]) -> Iterator[str]:
        yield f"Metrics by row: {quantities.listed_groups(findings.table)}."
        yield from what_bars_say(panels)
        styles = {"before": "dotted", "retrained": "dashed", "null": "thinly dotted"}
        lines = [f"{styles[r]}: {ROLE_NAMES[r]}" for r in LINE_OF_ROLE if r in _roles(panels)]
        yield f"For reference, {'; '.join(lines)}." if lines else ""
        yield from map(_firsts, findings.table.groups)

    def draw_panels(self, panels: tuple[Panel, ...], marks: dict[str, Mark]) -> "Drawing":
        """Horizontal bars, the rows named at the left of each line of panels."""
        titles = [""] if len(panels[0].blocks) > 1 else []
        keys = [(block.title, name) for block in panels[0].blocks
                for name in (*titles, *(bar.name for bar in block.bars))]  # fmt: skip
        places = {key: at for at, key in enumerate(keys)}
        names = [drawing.wrapped(name or group) for group, name in places]
        n_lines = max(name.count("\n") + 1 for name in names)
        pitch = max(0.19 if len(places) <= 12 else 0.145, 0.13 * n_lines)  # inches
        bottom = len(places) - 0.4
        height = bottom * pitch + 0.5
        picture, (drawn,) = drawing.lay_out({"": panels}, MOST_COLUMNS, height, 0.3, sharey=True)
        for i, (panel, axes) in enumerate(drawn):
            _draw_panel(axes, panel, places, marks)
            axes.set_ylim(bottom, -0.6)
            if i % drawing.grid_shape(len(panels), MOST_COLUMNS)[1]:
                axes.tick_params(left=False, labelleft=False)
                continue
            axes.set_yticks(list(places.values()), names)
            for (_, name), label in zip(places, axes.get_yticklabels(), strict=True):
                label.set_fontweight("normal" if name else "bold")
            axes.tick_params(axis="y", length=0)
        if lines := drawing.reference_lines(_roles(panels)):
            drawing.legend(picture, lines)
        return picture


def _block(group: "Group", column: "Column") -> Block:
    levels = (
        (row.role, quantities.counts_as(column, row.mean(column.name), group.cap))
        for row in group.rows
        if row.role in LINE_OF_ROLE
    )
    bars = tuple(bar_of(group, row, column) for row in quantities.shown_rows(group))
    references = tuple((role, level) for role, level in levels if level is not None)
    return Block(group.title, bars, references)


def _roles(panels: tuple[Panel, ...]) -> set[str]:
    return {role for p in panels for block in p.blocks for role, _ in block.references}


def _firsts(group: "Group") -> str:
    firsts = []
    for score in ("s_z", "s_m"):
        first = [r for r in group.compared if score in r.cells and r.cells[score].rank == 1]
        firsts += [f"{r.label} by {score} ({r.cells[score].mean:z.2f})" for r in first]
    return f"First in {group.title}: {', '.join(firsts)}." if firsts else ""


def _draw_panel(axes: "Axes", panel: Panel, places: Places, marks: dict[str, Mark]) -> None:
    from matplotlib.ticker import MaxNLocator

    for block in panel.blocks:
        own = [places[block.title, bar.name] for bar in block.bars]
        for at, bar in zip(own, block.bars, strict=True):
            axes.text(1.05, at, bar.text, transform=axes.get_yaxis_transform(), va="center",
                      fontsize=6.5, fontweight=bar.weight)  # fmt: skip
            draw_bar(axes, bar, at, panel.start, across=True, color=marks[bar.name].colour)
        for role, value in block.references if own else ():
            ends = [min(own) - 0.5, max(own) + 0.5]
            axes.plot(
                [value] * 2, ends, linestyle=LINE_OF_ROLE[role], color=FOREGROUND, linewidth=0.9
            )
    title = drawing.wrapped(f"{panel.column.label} {panel.column.arrow}", 22)
    axes.set_title(title, fontsize=7.5)
    fit_axis(axes, "x", panel.column)
    if not panel.column.capped:
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
