"""Curves of attacks: a forgetting metric over their positions, the references' beside."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from . import drawing, quantities
from .drawing import FOREGROUND, LINE_OF_ROLE, MOST_WITH_RUNS, Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.attacks.kinds import AttackKind
    from unlearnbench.analysis.attacks.panel import Attacked, Panel
    from unlearnbench.analysis.table import Column
    from unlearnbench.reporting.document import Findings

_BANDS = "Pale: 95% intervals over items (and seeds, where there are several), point by point."
_MOST_TICKS = 6
_LEAST_FACTOR = 1.5  # from position to position: such an axis is logarithmic


@dataclass(frozen=True)
class Curve:
    """One row's models over the positions."""

    name: str
    role: str
    places: tuple[float, ...]
    values: tuple[float, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]


@dataclass(frozen=True)
class CurvePanel:
    """One attack on the models of one group."""

    title: str
    across: str
    up: str
    curves: tuple[Curve, ...]
    is_log: bool = False


CurvePanels = dict[str, tuple[CurvePanel, ...]]  # by group


def counts_tries(panel: "Panel", attack: "AttackKind") -> bool:
    """Whether its positions are numbers of tries: it measures itself, at 1, 2, 4 and so on."""
    column = panel.column_of(attack)
    return column is not None and column.task == attack.name and _is_geometric(attack)


def _is_geometric(attack: "AttackKind") -> bool:
    places = [point.position for point in attack.points if point.position is not None]
    return len(places) > 1 and all(a > 0 and b >= _LEAST_FACTOR * a for a, b in pairwise(places))


def curve_panels(findings: "Findings", over_tries: bool) -> CurvePanels:
    """By group the attacks that are curves, those over numbers of tries or the others."""
    panels: CurvePanels = {}
    for panel in findings.panels:
        drawn = []
        for attack in panel.attacks:
            column = panel.column_of(attack)
            if column is None or not attack.curve or counts_tries(panel, attack) is not over_tries:
                continue
            curves = tuple(_curves(panel, attack, column))
            if any(len(curve.places) > 1 for curve in curves):
                up = f"{column.label} {column.arrow}"
                drawn.append(CurvePanel(attack.label, attack.curve, up, curves, over_tries))
        if drawn:
            panels[panel.group.title] = tuple(drawn)
    return panels


def _curves(panel: "Panel", attack: "AttackKind", column: "Column") -> Iterator[Curve]:
    names = quantities.row_names(panel.group)
    for row in panel.group.rows:
        every = panel.of(attack, column, row)
        lines = [line for line in every if line.point.position is not None]
        if lines:
            yield _curve(names[row.label], row.role, lines)


def _curve(name: str, role: str, lines: "Sequence[Attacked]") -> Curve:
    return Curve(
        name,
        role,
        tuple(line.point.position or 0.0 for line in lines),
        tuple(line.value.value for line in lines),
        tuple(line.value.low for line in lines),
        tuple(line.value.high for line in lines),
    )


def draw(panels: CurvePanels, marks: dict[str, Mark]) -> "Drawing":
    """Three attacks side by side at most, a legend under all."""
    rest = 0.35 + 0.16 * (1 + len(marks) // 3)
    picture, by_group = drawing.lay_out(panels, 3, 1.9, rest)
    for drawn in by_group:
        for panel, axes in drawn:
            _draw_panel(axes, panel, marks)
    curves = [curve for own in panels.values() for panel in own for curve in panel.curves]
    names = {curve.name for curve in curves}
    handles = {name: drawing.line(color=m.colour, marker=m.marker, linestyle=m.dashes, markersize=4)
               for name, m in marks.items() if name in names}  # fmt: skip
    handles |= drawing.reference_lines({curve.role for curve in curves})
    drawing.legend(picture, handles)
    return picture


def _draw_panel(axes: "Axes", panel: CurvePanel, marks: dict[str, Mark]) -> None:
    n_methods = sum(curve.role == "method" for curve in panel.curves)
    for curve in panel.curves:
        mark = marks.get(curve.name) if curve.role == "method" else None
        colour = mark.colour if mark else FOREGROUND
        if n_methods <= MOST_WITH_RUNS:
            _draw_band(axes, curve, colour)
        if mark:
            axes.plot(curve.places, curve.values, color=colour, linewidth=1.3, marker=mark.marker,
                      linestyle=mark.dashes, markersize=3)  # fmt: skip
        else:
            axes.plot(curve.places, curve.values, color=colour, linewidth=1.0,
                      linestyle=LINE_OF_ROLE[curve.role])  # fmt: skip
    axes.set_title(panel.title)
    axes.set_xlabel(panel.across)
    axes.set_ylabel(panel.up)
    _name_places(axes, panel)


def _name_places(axes: "Axes", panel: CurvePanel) -> None:
    """Ticks at the positions, at each second one and so on where there are many."""
    from matplotlib.ticker import NullLocator

    places = sorted({place for curve in panel.curves for place in curve.places})
    if panel.is_log:
        drawing.log_axis(axes, "x")
    named = places[:: -(-len(places) // _MOST_TICKS)]
    if panel.is_log or len(named) == len(places):
        axes.set_xticks(named, [f"{place:g}" for place in named])
        axes.xaxis.set_minor_locator(NullLocator())


def _draw_band(axes: "Axes", curve: Curve, colour: str) -> None:
    ends = zip(curve.places, curve.lows, curve.highs, strict=True)
    known = [(x, low, high) for x, low, high in ends if low is not None and high is not None]
    if len(known) > 1:
        places, lows, highs = zip(*known, strict=True)
        axes.fill_between(places, lows, highs, color=colour, alpha=0.14, linewidth=0)


def shows_bands(panels: CurvePanels) -> bool:
    """Whether any curve has a band."""
    every = [panel for own in panels.values() for panel in own]
    return any(
        sum(c.role == "method" for c in p.curves) <= MOST_WITH_RUNS
        and any(low is not None for c in p.curves for low in c.lows)
        for p in every
    )


class CurvesFigure(StyledFigure[CurvePanels]):
    """A figure of attacks that are curves: those over numbers of tries, or all others."""

    over_tries: ClassVar[bool]

    @abstractmethod
    def what_is_shown(self, groups: str) -> str:
        """The caption's sentence about the models of these groups."""

    def panels(self, findings: "Findings") -> CurvePanels:
        """Per group a panel for each attack of that kind."""
        return curve_panels(findings, self.over_tries)

    def sentences(self, findings: "Findings", panels: CurvePanels) -> Iterator[str]:  # noqa: ARG002
        """What is shown, and what bands are."""
        yield self.what_is_shown(", ".join(panels))
        yield _BANDS if shows_bands(panels) else ""

    def draw_panels(self, panels: CurvePanels, marks: dict[str, Mark]) -> "Drawing":
        """The panels of each group side by side."""
        return draw(panels, marks)
