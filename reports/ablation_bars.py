"""A method beside its own variants, metric by metric."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.table import SCORE_NAMES
from unlearnbench.registry import register

from ._figures import drawing, quantities
from ._figures.bars import Bar, bar_of, what_bars_say
from ._figures.drawing import FOREGROUND, WIDTH, Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Column, Group, Row, Table
    from unlearnbench.reporting.document import Findings

MOST_VARIANTS = 10  # more are a sweep: heat-map and score-bars show those
_GAP = 0.8  # between clusters, in widths of a bar


@dataclass(frozen=True)
class Cluster:
    """The variants of one method in one group, the first being what the others are held against."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Panel:
    """One metric."""

    column: "Column"
    clusters: tuple[Cluster, ...]

    @property
    def bars(self) -> list[Bar]:
        """The bars of all clusters."""
        return [bar for cluster in self.clusters for bar in cluster.bars]


@register
@dataclass(frozen=True)
class AblationBars(StyledFigure[tuple[Panel, ...]]):
    """A method and its variants as bars side by side with 95% intervals, a panel per metric."""

    name: ClassVar[str] = "ablation-bars"
    absent = f"No ablation: it needs a method with two to {MOST_VARIANTS} rows."

    def panels(self, findings: "Findings") -> tuple[Panel, ...]:
        """Bars in clusters; none if no method has between 2 and 10 rows in a group."""
        return panels_of(findings.table)

    def sentences(self, findings: "Findings", panels: tuple[Panel, ...]) -> Iterator[str]:  # noqa: ARG002
        """What is beside what, what line and whiskers are, and the scores."""
        yield (
            f"Variants of a method: {'; '.join(c.title for c in panels[0].clusters)}. A thin line "
            "continues the first bar of its cluster."
        )
        yield from what_bars_say([(p.column, p.bars) for p in panels])
        for panel in panels:
            if panel.column.name in SCORE_NAMES:
                values = (
                    f"{cluster.title}: " + ", ".join(f"{b.name} {b.text}" for b in cluster.bars)
                    for cluster in panel.clusters
                )
                yield f"{panel.column.label}: {'; '.join(values)}."

    def draw_panels(self, panels: tuple[Panel, ...], marks: dict[str, Mark]) -> "Drawing":
        """A panel per metric, the fewer side by side the more bars there are."""
        from matplotlib.patches import Patch

        n_bars = len(panels[0].bars)
        most = 5 if n_bars <= 6 else 3 if n_bars <= 15 else 2
        n_rows, n_columns = drawing.grid_shape(len(panels), most)
        picture = drawing.blank(1.55 * n_rows + 0.4)
        for panel, axes in zip(panels, drawing.axes_in(picture, len(panels), most), strict=True):
            _draw_panel(axes, panel, marks)
            _name_clusters(axes, panel, WIDTH / n_columns)
        drawn = {bar.name: marks[bar.name] for bar in panels[0].bars}
        handles = {name: Patch(facecolor=mark.colour, hatch=mark.hatch, edgecolor=FOREGROUND)
                   for name, mark in drawn.items()}  # fmt: skip
        drawing.legend(picture, handles)
        return picture


def panels_of(table: "Table") -> tuple[Panel, ...]:
    """One panel per score and metric that a variant has; none where nothing has variants."""
    varied = [(g, rows) for g in table.groups for rows in _families(g)]
    panels = [
        Panel(column, tuple(_cluster(group, rows, column) for group, rows in varied))
        for column in quantities.measured(table)
    ]
    return tuple(p for p in panels if any(bar.value is not None for bar in p.bars))


def _families(group: "Group") -> "list[list[Row]]":
    """The rows of each method that has variants, and not too many."""
    return [family for family in quantities.families(group) if 2 <= len(family) <= MOST_VARIANTS]


def _cluster(group: "Group", rows: "Sequence[Row]", column: "Column") -> Cluster:
    several = len(_families(group)) > 1
    title = f"{group.title} {quantities.row_names(group)[rows[0].label].partition(' (')[0]}"
    bars = tuple(bar_of(group, row, column) for row in rows)
    return Cluster(title if several else group.title, bars)


def _draw_panel(axes: "Axes", panel: Panel, marks: dict[str, Mark]) -> None:
    column = panel.column
    for cluster, at in zip(panel.clusters, _starts(panel), strict=True):
        _draw_cluster(axes, cluster, at, marks, 1.0 if column.capped else 0.0)
    axes.set_title(f"{column.label} {column.arrow}", fontsize=7.5)
    if column.capped:
        axes.set_yscale("log")
        drawing.log_axis(axes, "y", start=1.0)
        axes.set_ylim(1.0, axes.get_ylim()[1] ** 1.35)  # room for the values over the bars
    else:
        low, high = axes.dataLim.intervaly
        low, high = drawing.least_limits(low, high, column.decimals) or axes.get_ylim()
        axes.set_ylim(low, high + 0.45 * (high - low))
        axes.axhline(0, color=FOREGROUND, linewidth=0.6)


def _starts(panel: Panel) -> list[float]:
    """Where the first bar of each cluster stands."""
    starts = [0.0]
    for cluster in panel.clusters:
        starts.append(starts[-1] + len(cluster.bars) + _GAP)
    return starts[:-1]


def _name_clusters(axes: "Axes", panel: Panel, width: float) -> None:
    """Names under the clusters, in lines that fit; a single one needs none."""
    starts, sizes = _starts(panel), [len(cluster.bars) for cluster in panel.clusters]
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-_GAP, starts[-1] + sizes[-1] - 1 + _GAP)
    letters = int((width - 0.4) / len(sizes) / 0.065)  # of 0.065 inches
    names = [drawing.wrapped(c.title, max(6, letters), at_hyphens=True) for c in panel.clusters]
    middles = [start + (size - 1) / 2 for start, size in zip(starts, sizes, strict=True)]
    axes.set_xticks(middles if len(sizes) > 1 else [], names if len(sizes) > 1 else [])


def _draw_cluster(
    axes: "Axes", cluster: Cluster, at: float, marks: dict[str, Mark], start: float
) -> None:
    for i, bar in enumerate(cluster.bars):
        _draw_bar(axes, bar, at + i, marks[bar.name], start)
    first = cluster.bars[0].value
    if first is not None:
        ends = [at, at + len(cluster.bars) - 0.6]
        axes.plot(ends, [first] * 2, color=FOREGROUND, linewidth=0.5)
    # All at one height: the line of the first bar would cross values that stand on their bars.
    top = max(start, *(v for b in cluster.bars for v in (b.value, b.high) if v is not None), start)
    for i, bar in enumerate(cluster.bars):
        axes.annotate(bar.text, (at + i, top), (0, 2), textcoords="offset points", rotation=90,
                      ha="center", va="bottom", fontsize=6.5,
                      fontweight="bold" if bar.best else "normal")  # fmt: skip


def _draw_bar(axes: "Axes", bar: Bar, at: float, mark: Mark, start: float) -> None:
    if bar.value is None:
        return
    axes.bar(at, bar.value - start, bottom=start, width=0.8, color=mark.colour,
             hatch=mark.hatch, edgecolor=FOREGROUND, linewidth=0.4)  # fmt: skip
    if bar.reach is not None:
        reach = [[length] for length in bar.reach]
        axes.errorbar(at, bar.value, yerr=reach, color=FOREGROUND, linewidth=0.8, capsize=1.5)
