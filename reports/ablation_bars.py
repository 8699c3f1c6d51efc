"""A method beside its own variants, metric by metric."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.table import SCORE_NAMES
from unlearnbench.registry import register

from ._figures import drawing, quantities
from ._figures.bars import Block, Panel, bar_of, draw_bar, fit_axis, panels_of, what_bars_say
from ._figures.drawing import FOREGROUND, WIDTH, Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Column, Group
    from unlearnbench.reporting.document import Findings

MOST_VARIANTS = 10  # more are a sweep: heat-map and score-bars show those
_GAP = 0.8  # between clusters, in widths of a bar


@register
@dataclass(frozen=True)
class AblationBars(StyledFigure[tuple[Panel, ...]]):
    """A method and its variants as bars side by side with 95% intervals, a panel per metric."""

    name: ClassVar[str] = "ablation-bars"
    absent = f"No ablation: it needs a method with two to {MOST_VARIANTS} rows."

    def panels(self, findings: "Findings") -> tuple[Panel, ...]:
        """Bars in clusters; none if no method has between 2 and 10 rows in a group."""
        return panels_of(findings.table, _clusters)

    def sentences(self, findings: "Findings", panels: tuple[Panel, ...]) -> Iterator[str]:  # noqa: ARG002
        yield (
            f"Variants of a method: {'; '.join(c.title for c in panels[0].blocks)}. A thin line "
            "continues the first bar of its cluster."
        )
        yield from what_bars_say(panels)
        for panel in panels:
            if panel.column.name in SCORE_NAMES:
                values = (
                    f"{cluster.title}: " + ", ".join(f"{b.name} {b.text}" for b in cluster.bars)
                    for cluster in panel.blocks
                )
                yield f"{panel.column.label}: {'; '.join(values)}."

    def draw_panels(self, panels: tuple[Panel, ...], marks: dict[str, Mark]) -> "Drawing":
        """A panel per metric, the fewer side by side the more bars there are."""
        from matplotlib.patches import Patch

        n_bars = len(panels[0].bars)
        most = 5 if n_bars <= 6 else 3 if n_bars <= 15 else 2
        _, n_columns = drawing.grid_shape(len(panels), most)
        picture, (drawn_panels,) = drawing.lay_out({"": panels}, most, height=1.55, rest=0.4)
        for panel, axes in drawn_panels:
            _draw_panel(axes, panel, marks, WIDTH / n_columns)
        drawn = {bar.name: marks[bar.name] for bar in panels[0].bars}
        handles = {name: Patch(facecolor=mark.colour, hatch=mark.hatch, edgecolor=FOREGROUND)
                   for name, mark in drawn.items()}  # fmt: skip
        drawing.legend(picture, handles)
        return picture


def _clusters(group: "Group", column: "Column") -> list[Block]:
    """The rows of each method with variants; the others are held against the first of them."""
    families = [rows for rows in quantities.families(group) if 2 <= len(rows) <= MOST_VARIANTS]
    names = quantities.row_names(group)
    clusters = []
    for rows in families:
        method = f" {names[rows[0].label].partition(' (')[0]}" if len(families) > 1 else ""
        bars = tuple(bar_of(group, row, column) for row in rows)
        clusters.append(Block(group.title + method, bars))
    return clusters


def _draw_panel(axes: "Axes", panel: Panel, marks: dict[str, Mark], width: float) -> None:
    middles, at = [], 0.0
    for cluster in panel.blocks:
        _draw_cluster(axes, cluster, at, marks, panel.start)
        middles.append(at + (len(cluster.bars) - 1) / 2)
        at += len(cluster.bars) + _GAP
    axes.set_title(f"{panel.column.label} {panel.column.arrow}", fontsize=7.5)
    fit_axis(axes, "y", panel.column)
    low, high = axes.get_ylim()  # and room for the values over the bars
    axes.set_ylim(low, high**1.35 if panel.column.capped else high + 0.45 * (high - low))
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-_GAP, at - 1)
    # Names under the clusters, in lines of letters of 0.065 inches; a single one needs none.
    letters = max(6, int((width - 0.4) / len(middles) / 0.065))
    names = [drawing.wrapped(c.title, letters, at_hyphens=True) for c in panel.blocks]
    several = len(middles) > 1
    axes.set_xticks(middles if several else [], names if several else [])


def _draw_cluster(
    axes: "Axes", cluster: Block, at: float, marks: dict[str, Mark], start: float
) -> None:
    for i, bar in enumerate(cluster.bars):
        mark = marks[bar.name]
        draw_bar(axes, bar, at + i, start, across=False, color=mark.colour, hatch=mark.hatch,
                 edgecolor=FOREGROUND, linewidth=0.4)  # fmt: skip
    first = cluster.bars[0].value
    if first is not None:
        ends = [at, at + len(cluster.bars) - 0.6]
        axes.plot(ends, [first] * 2, color=FOREGROUND, linewidth=0.5)
    # All at one height: the line of the first bar would cross values that stand on their bars.
    top = max([start, *(v for b in cluster.bars for v in (b.value, b.high) if v is not None)])
    for i, bar in enumerate(cluster.bars):
        axes.annotate(bar.text, (at + i, top), (0, 2), textcoords="offset points", rotation=90,
                      ha="center", va="bottom", fontsize=6.5, fontweight=bar.weight)  # fmt: skip
