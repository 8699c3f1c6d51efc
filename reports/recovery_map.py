"""What every attack brings back of every method's unlearning, as a map."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.table import ABSENT
from unlearnbench.registry import register
from unlearnbench.reporting import printing

from ._figures import drawing, quantities
from ._figures.drawing import Mark, StyledFigure
from ._figures.squares import draw_square

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.attacks.panel import Panel
    from unlearnbench.analysis.attacks.recovery import Estimate
    from unlearnbench.analysis.table import Column
    from unlearnbench.reporting.document import Findings

UNATTACKED, WORST = "no attack", "worst case"
_MOST_WITH_INTERVALS = 8  # columns: beyond, the ends are too small to be read


@dataclass(frozen=True)
class Square:
    """One method under one attack, or its worst case."""

    estimate: "Estimate | None" = None
    at: str = ""  # the point
    is_worst: bool = False


@dataclass(frozen=True)
class Map:
    """The methods of one group under all attacks."""

    title: str
    metric: str
    rows: tuple[str, ...]
    attacks: tuple[str, ...]  # across: none first, the worst case last
    squares: dict[tuple[str, str], Square]


def _map(panel: "Panel", column: "Column | None") -> Map:
    names = quantities.row_names(panel.group)
    squares: dict[tuple[str, str], Square] = {}
    told: list[str] = []
    for row in panel.methods:
        place = (row.label, column.name if column else "")
        if place in panel.unattacked:
            squares[names[row.label], UNATTACKED] = Square(panel.unattacked[place])
            told = [UNATTACKED]
    for attack in panel.attacks:
        points = {row.label: panel.worst_point(row, attack, column) for row in panel.methods}
        if any(point and point.recovery for point in points.values()):
            told.append(attack.label)
        for label, point in points.items():
            if point and point.recovery:
                square = Square(point.recovery, point.point.label)
                squares[names[label], attack.label] = square
    for row in panel.methods:
        worst = panel.worst(row, column)
        if worst:
            at = (names[row.label], worst.at.attack.label)
            squares[at] = replace(squares[at], is_worst=True)
            squares[names[row.label], WORST] = Square(worst.estimate)
    rows = tuple(names[row.label] for row in panel.methods)
    metric = printing.name(column) if column else ""
    return Map(panel.group.title, metric, rows, (*told, WORST), squares)


@register
@dataclass(frozen=True)
class RecoveryMap(StyledFigure[tuple[Map, ...]]):
    """Recovery of every method (up) under every attack (across), and at worst."""

    name: ClassVar[str] = "recovery-map"
    absent = "No map of recoveries: it needs attacked unlearned, original and retrained models."

    def panels(self, findings: "Findings") -> tuple[Map, ...]:
        """Per group a map of the first metric that tells the references apart."""
        maps = (_map(p, p.columns[0] if p.columns else None) for p in findings.panels)
        return tuple(one for one in maps if any(attack == WORST for _, attack in one.squares))

    def sentences(self, findings: "Findings", panels: tuple[Map, ...]) -> Iterator[str]:  # noqa: ARG002
        metrics = " and ".join(dict.fromkeys(one.metric for one in panels if one.metric))
        yield (
            f"Recovery{f' in {metrics}' if metrics else ''} under attack: "
            f"{', '.join(one.title for one in panels)}. At each attack's point of the largest: 0 "
            "(pale) what the attacked retrained model shows, 1 (dark) what the attacked original "
            "does. Outlined: the worst of the row; last column: the worst case with an interval "
            "that allows for taking the largest. Hatched: not told."
        )
        for one in panels:
            worst = [
                f"{row} {printed(square.estimate)}"
                for row in one.rows
                if (square := one.squares.get((row, WORST))) and square.estimate
            ]
            yield f"Worst case in {one.title}: {', '.join(worst)}."

    def draw_panels(
        self,
        panels: tuple[Map, ...],
        marks: dict[str, Mark],  # noqa: ARG002 - a square is no row
    ) -> "Drawing":
        """One map a group, under each other."""
        tallest = max(len(one.rows) for one in panels)
        groups = {one.title: [one] for one in panels}
        picture, by_group = drawing.lay_out(groups, 1, 0.34 * tallest + 0.7, rest=0.0)
        for one, axes in chain(*by_group):
            _draw_map(axes, one)
        return picture


def printed(estimate: "Estimate | None") -> str:
    """'0.42 [0.31, 0.55]', without the ends where there are none."""
    if estimate is None:
        return ABSENT
    value, low, high = estimate
    ends = "" if low is None or high is None else f" [{low:z.2f}, {high:z.2f}]"
    return f"{value:z.2f}{ends}"


def _draw_map(axes: "Axes", one: Map) -> None:
    with_ends = len(one.attacks) <= _MOST_WITH_INTERVALS
    for x, attack in enumerate(one.attacks):
        for y, row in enumerate(reversed(one.rows)):
            square = one.squares.get((row, attack), Square())
            estimate, text = square.estimate, printed(square.estimate)
            text = text.replace(" ", "\n", 1) if with_ends else text.partition(" ")[0]
            share = None if estimate is None else min(max(estimate.value, 0.0), 1.0)
            draw_square(axes, x, y, text, share, square.is_worst)
    axes.set_xlim(-0.53, len(one.attacks) - 0.47)
    axes.set_ylim(-0.53, len(one.rows) - 0.47)
    width = 90 // len(one.attacks)
    if any(len(word) > width for name in one.attacks for word in name.split()):
        # No word is broken: the names stand aslant.
        names, aslant = [drawing.wrapped(name) for name in one.attacks], 40
    else:
        names = [drawing.wrapped(name, width, at_hyphens=True) for name in one.attacks]
        aslant = 0
    axes.set_xticks(range(len(one.attacks)), names)
    if aslant:
        axes.tick_params(axis="x", labelrotation=aslant)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(one.rows)), [drawing.wrapped(n) for n in reversed(one.rows)])
    axes.axvline(len(one.attacks) - 1.5, color=drawing.FOREGROUND, linewidth=0.8)
    if one.attacks[0] == UNATTACKED:
        axes.axvline(0.5, color=drawing.FOREGROUND, linewidth=0.8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
