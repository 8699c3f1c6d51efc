"""What forgetting costs: memorisation accuracy against utility, with the Pareto front."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import stdev
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register

from ._figures import drawing, quantities
from ._figures.drawing import FOREGROUND, LINE_OF_ROLE, Mark, StyledFigure
from ._figures.quantities import PERPLEXITY, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Group, Row
    from unlearnbench.reporting.document import Findings

FORGETTING = "ma"  # what the stop line is about; EL10 is near 0 for all that reach the line
UTILITIES = (PERPLEXITY.name, "cls_avg", "dia_avg")


@dataclass(frozen=True)
class Point:
    """One row: its means and its single runs, as (forgetting, utility) in printed units."""

    name: str
    role: str
    mean: tuple[float, float]
    runs: tuple[tuple[float, float], ...] = ()
    is_bound: bool = False  # the utility is the cap: worse than drawn
    on_front: bool = False


@dataclass(frozen=True)
class Plane:
    """One group's rows in one plane."""

    group: str
    forgetting: Quantity
    utility: Quantity
    points: tuple[Point, ...]  # the compared rows
    references: tuple[Point, ...]
    stop_lines: tuple[float, ...]
    missing: tuple[str, ...]  # compared rows without one of the two values

    @property
    def is_log(self) -> bool:
        """Whether utility is a perplexity: on a log axis, turned so that up is better."""
        return self.utility.column.capped


def planes_of(findings: "Findings") -> tuple[Plane, ...]:
    """Per group one plane for each measure of utility that a compared row has beside MA."""
    table = findings.table
    forgetting = quantities.quantity(table, FORGETTING)
    utilities = quantities.of(table, UTILITIES)
    if forgetting is None:
        return ()
    planes = [_plane(findings, g, forgetting, u) for g in table.groups for u in utilities]
    return tuple(plane for plane in planes if plane.points)


def pareto_front(points: Sequence[tuple[float, float]], higher: tuple[bool, bool]) -> list[bool]:
    """Whether each point is on the front: none is as good in both and better in one.

    `higher` says for both coordinates whether more is better.
    """
    signed = [tuple(v if up else -v for v, up in zip(p, higher, strict=True)) for p in points]
    return [not any(_dominates(other, own) for other in signed) for own in signed]


def spread(plane: Plane, point: Point) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Sample standard deviation over runs below and above the mean, for both axes.

    Of the logarithms on a log axis; None with fewer than two runs.
    """
    if len(point.runs) < 2:
        return None
    across = stdev(x for x, _ in point.runs)
    if not plane.is_log:
        up = stdev(y for _, y in point.runs)
        return (across, across), (up, up)
    ratio = math.exp(stdev(math.log(y) for _, y in point.runs))
    y = point.mean[1]
    return (across, across), (y - y / ratio, y * ratio - y)


def _dominates(other: Sequence[float], own: Sequence[float]) -> bool:
    return tuple(other) != tuple(own) and all(o >= v for o, v in zip(other, own, strict=True))


def _plane(findings: "Findings", group: "Group", forgetting: Quantity, utility: Quantity) -> Plane:
    by_label = {row.label: _point(findings, group, row, forgetting, utility) for row in group.rows}
    points = [point for row in group.compared if (point := by_label[row.label]) is not None]
    higher = (bool(forgetting.column.higher_is_better), bool(utility.column.higher_is_better))
    front = pareto_front([p.mean for p in points], higher)
    return Plane(
        group.title,
        forgetting,
        utility,
        tuple(replace(p, on_front=on) for p, on in zip(points, front, strict=True)),
        tuple(p for p in by_label.values() if p is not None and p.role in LINE_OF_ROLE),
        quantities.stop_lines(group, FORGETTING, forgetting.column.scale),
        tuple(row.label for row in group.compared if by_label[row.label] is None),
    )


def _point(
    findings: "Findings", group: "Group", row: "Row", forgetting: Quantity, utility: Quantity
) -> Point | None:
    x, y = forgetting.of_row(row, group.cap), utility.of_row(row, group.cap)
    if x is None or y is None:
        return None
    pairs = [
        (forgetting.of_run(result, group.cap), utility.of_run(result, group.cap))
        for result in findings.results_of(row)
    ]
    runs = tuple((a, b) for a, b in pairs if a is not None and b is not None)
    name = quantities.row_names(group)[row.label]
    return Point(name, row.role, (x, y), runs, utility.is_over_cap(row, group.cap))


MOST_WITH_RUNS = 8  # more rows than this, and their runs and whiskers would be a thicket
_LEFT_OUT = f" (no runs and whiskers where there are more than {MOST_WITH_RUNS} rows)."
_FRONT = 3.0  # points wide and pale, so that it shows under whiskers


@register
@dataclass(frozen=True)
class TradeOff(StyledFigure[tuple[Plane, ...]]):
    """Forgetting (MA) against perplexity, classification and dialogue, with the Pareto front."""

    name: ClassVar[str] = "trade-off"
    absent = "No trade-off plane: no compared row has both MA and a measure of utility."

    def panels(self, findings: "Findings") -> tuple[Plane, ...]:
        """Per group one plane for each measure of utility that a compared row has beside MA."""
        return planes_of(findings)

    def sentences(self, findings: "Findings", panels: tuple[Plane, ...]) -> Iterator[str]:
        """The axes, what is a point and a whisker, how the front is made and who is on it."""
        yield (
            f"Forgetting against utility: {quantities.listed_groups(findings.table)}. To the left "
            "is forgotten more, up is more useful (perplexity on a turned log axis)."
        )
        yield from dict.fromkeys(p.utility.meaning for p in panels)
        yield (
            "Large: a row's means, hollow where the utility is the cap; small: its runs; "
            "whiskers: one sample standard deviation over two or more runs"
            + ("." if all(map(_shows_runs, panels)) else _LEFT_OUT)
        )
        yield (
            "Pale line: the Pareto front of the compared rows' means, lower MA and better utility "
            "being better as in the table; beyond the stop line (dash-dotted) a lower MA is no "
            "further success."
        )
        yield from map(_of_group, _by_group(panels).values())

    def draw_panels(self, panels: tuple[Plane, ...], marks: dict[str, Mark]) -> "Drawing":
        """A row of planes per group."""
        groups = _by_group(panels)
        picture = drawing.blank(2.3 * len(groups) + 0.2 + 0.16 * (1 + len(marks) // 3))
        for own, part in zip(groups.values(), drawing.parts_of(picture, list(groups)), strict=True):
            for plane, axes in zip(own, drawing.axes_in(part, len(own), 3), strict=True):
                _draw_plane(axes, plane, marks)
        drawing.legend(picture, _handles(panels, marks))
        return picture


def _by_group(planes: Sequence[Plane]) -> dict[str, list[Plane]]:
    groups = dict.fromkeys(p.group for p in planes)
    return {group: [p for p in planes if p.group == group] for group in groups}


def _shows_runs(plane: Plane) -> bool:
    return len(plane.points) <= MOST_WITH_RUNS


def _of_group(planes: Sequence[Plane]) -> str:
    """Who is on the front of each plane, where the references stand, who has no place."""
    fronts = [f"{p.utility.column.label}: {_front(p)}" for p in planes]
    text = f"Front in {planes[0].group} (MA, utility), {'; '.join(fronts)}."
    levels: dict[str, list[str]] = {}
    for plane in planes:
        for point in plane.references:
            level = f"{plane.utility.column.label} {_utility(plane, point)}"
            levels.setdefault(point.name, [f"MA {point.mean[0]:.1f}"]).append(level)
    references = [f"{name} has {', '.join(texts)}" for name, texts in levels.items()]
    if references:
        text += (
            " Dotted and dashed: utility before unlearning and of the retrained model, a star "
            f"where the MA is in the plane: {'; '.join(references)}."
        )
    missing = [f"{name} in {p.utility.column.label}" for p in planes for name in p.missing]
    return text + (f" Without a finite value: {', '.join(missing)}." if missing else "")


def _front(plane: Plane) -> str:
    on = sorted((p for p in plane.points if p.on_front), key=lambda p: p.mean)
    return ", ".join(f"{p.name} ({p.mean[0]:.1f}, {_utility(plane, p)})" for p in on)


def _utility(plane: Plane, point: Point) -> str:
    return plane.utility.printed(point.mean[1], point.is_bound)


def _draw_plane(axes: "Axes", plane: Plane, marks: dict[str, Mark]) -> None:
    if plane.is_log:
        axes.set_yscale("log")
    for point in plane.points:
        _draw_point(axes, plane, point, marks[point.name])
    _draw_front(axes, plane)
    for stop in plane.stop_lines:
        axes.axvline(stop, color=FOREGROUND, linewidth=0.8, linestyle="-.")
    left, right = axes.get_xlim()  # without the references: before unlearning is far to the right
    for point in plane.references:
        _draw_reference(axes, point, left < point.mean[0] < right)
    if plane.is_log:
        drawing.log_axis(axes, "y")
        axes.invert_yaxis()
    axes.set_xlabel(plane.forgetting.title)
    axes.set_title(plane.utility.title)


def _draw_point(axes: "Axes", plane: Plane, point: Point, mark: Mark) -> None:
    x, y = point.mean
    for run in point.runs if _shows_runs(plane) else ():
        axes.plot(*run, mark.marker, color=mark.colour, markersize=2.5, alpha=0.6,
                  markeredgewidth=0)  # fmt: skip
    reach = spread(plane, point) if _shows_runs(plane) else None
    if reach is not None:
        across, up = ([[below], [above]] for below, above in reach)
        axes.errorbar(x, y, xerr=across, yerr=up, color=mark.colour, linewidth=0.7)
    face = "none" if point.is_bound else mark.colour
    axes.plot(x, y, mark.marker, color=mark.colour, markerfacecolor=face, markersize=6,
              markeredgecolor=mark.colour if point.is_bound else "white",
              markeredgewidth=1.2 if point.is_bound else 0.5, zorder=4)  # fmt: skip


def _draw_reference(axes: "Axes", point: Point, is_inside: bool) -> None:
    x, y = point.mean
    dashes = LINE_OF_ROLE[point.role]
    axes.axhline(y, color=FOREGROUND, linewidth=0.8, linestyle=dashes, zorder=1.5)
    if is_inside:
        axes.plot(x, y, "*", color=FOREGROUND, markersize=7, scalex=False)


def _draw_front(axes: "Axes", plane: Plane) -> None:
    """Steps from the most forgetting to the most useful: what lies right of and under it loses."""
    on = sorted({p.mean for p in plane.points if p.on_front})
    axes.step([x for x, _ in on], [y for _, y in on], where="post", color=FOREGROUND,
              linewidth=_FRONT, alpha=0.25, zorder=1)  # fmt: skip


def _handles(planes: Sequence[Plane], marks: dict[str, Mark]) -> dict[str, object]:
    from matplotlib.lines import Line2D

    drawn = {p.name for plane in planes for p in plane.points}
    handles: dict[str, object] = {
        name: Line2D([], [], color=m.colour, marker=m.marker, linestyle="", markersize=5)
        for name, m in marks.items()
        if name in drawn
    }
    handles["Pareto front"] = Line2D([], [], color=FOREGROUND, linewidth=_FRONT, alpha=0.25)
    handles |= drawing.reference_lines(
        {point.role for plane in planes for point in plane.references}
    )
    if any(plane.stop_lines for plane in planes):
        handles["stop line"] = Line2D([], [], color=FOREGROUND, linestyle="-.")
    return handles
