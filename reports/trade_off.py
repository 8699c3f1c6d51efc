"""What forgetting costs: memorisation accuracy, or D, against utility, with the Pareto front."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import stdev
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnbench.analysis.budgets.fronts import pareto_front
from unlearnbench.registry import register

from ._figures import drawing, quantities
from ._figures.drawing import FOREGROUND, LINE_OF_ROLE, MOST_WITH_RUNS, Mark, StyledFigure
from ._figures.quantities import PERPLEXITY, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Group
    from unlearnbench.reporting.document import Findings

MA = "ma"  # what the stop line is about; EL10 is near 0 for all that reach the line
# The first that was measured; of a benchmark the distance to the retrained model comes first.
FORGETTING = (MA, "ks_distance", "forget_probability", "forget_rouge_l_recall")
MOST_ACROSS = 3  # planes
UTILITIES = (PERPLEXITY.name, "cls_avg", "dia_avg", "model_utility")


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

    @property
    def shows_runs(self) -> bool:
        """Whether there are not too many rows for runs and whiskers."""
        return len(self.points) <= MOST_WITH_RUNS

    def text(self, point: Point) -> str:
        """Utility and its value."""
        return self.utility.printed(point.mean[1], point.is_bound)


Planes = dict[str, tuple[Plane, ...]]  # by group


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


def _plane(findings: "Findings", group: "Group", forgetting: Quantity, utility: Quantity) -> Plane:
    names, cap, by_label = quantities.row_names(group), group.cap, {}
    for row in group.rows:
        if mean := _pair(forgetting.of_row(row, cap), utility.of_row(row, cap)):
            results = findings.results_of(row)
            runs = (_pair(forgetting.of_run(r, cap), utility.of_run(r, cap)) for r in results)
            by_label[row.label] = Point(
                names[row.label],
                row.role,
                mean,
                tuple(run for run in runs if run is not None),
                utility.is_over_cap(row, cap),
            )
    points = [by_label[row.label] for row in group.compared if row.label in by_label]
    is_ma = forgetting.column.name == MA
    higher = (bool(forgetting.column.higher_is_better), bool(utility.column.higher_is_better))
    front = pareto_front([p.mean for p in points], higher)
    return Plane(
        forgetting,
        utility,
        tuple(replace(p, on_front=on) for p, on in zip(points, front, strict=True)),
        tuple(p for p in by_label.values() if p.role in LINE_OF_ROLE),
        quantities.stop_lines(group, MA, forgetting.column.scale) if is_ma else (),
        tuple(row.label for row in group.compared if row.label not in by_label),
    )


def _pair(x: float | None, y: float | None) -> tuple[float, float] | None:
    return None if x is None or y is None else (x, y)


_LEFT_OUT = f" (no runs and whiskers where there are more than {MOST_WITH_RUNS} rows)."
# Wide and pale, so that it shows under whiskers.
_FRONT: dict[str, Any] = {"linewidth": 3.0, "alpha": 0.25}


@register
@dataclass(frozen=True)
class TradeOff(StyledFigure[Planes]):
    """Forgetting (MA) against perplexity, classification and dialogue, with the Pareto front."""

    name: ClassVar[str] = "trade-off"
    absent = "No trade-off plane: no compared row has both MA and a measure of utility."

    def panels(self, findings: "Findings") -> Planes:
        """Per group one plane for each measure of utility that a compared row has beside MA."""
        measured = (quantities.quantity(findings.table, name) for name in FORGETTING)
        forgetting = next(filter(None, measured), None)
        utilities = quantities.of(findings.table, UTILITIES)
        planes: Planes = {}
        if forgetting is None:
            return planes
        for group in findings.table.groups:
            own = (_plane(findings, group, forgetting, utility) for utility in utilities)
            if drawn := tuple(plane for plane in own if plane.points):
                planes[group.title] = drawn
        return planes

    def sentences(self, findings: "Findings", panels: Planes) -> Iterator[str]:
        planes = [plane for own in panels.values() for plane in own]
        yield (
            f"Forgetting against utility: {quantities.listed_groups(findings.table)}. To the left "
            f"is {_left(planes)}, up is more useful (perplexity on a turned log axis)."
        )
        yield from dict.fromkeys(p.utility.meaning for p in planes)
        yield (
            "Large: a row's means, hollow where the utility is the cap; small: its runs; "
            "whiskers: one sample standard deviation over two or more runs"
            + ("." if all(p.shows_runs for p in planes) else _LEFT_OUT)
        )
        yield (
            f"Pale line: the Pareto front of the compared rows' means, lower {_short(planes)} and "
            "better utility being better as in the table"
            + (
                "; beyond the stop line (dash-dotted) a lower MA is no further success."
                if any(plane.stop_lines for plane in planes)
                else "."
            )
        )
        for group, own in panels.items():
            yield f"Front in {group} ({_short(own)}, utility), {'; '.join(map(_front, own))}."
            yield _levels(own)
            missing = [f"{name} in {p.utility.column.label}" for p in own for name in p.missing]
            yield f"Without a finite value: {', '.join(missing)}." if missing else ""

    def draw_panels(self, panels: Planes, marks: dict[str, Mark]) -> "Drawing":
        """A row of planes per group."""
        rest = 0.2 + 0.16 * (1 + len(marks) // 3)
        picture, by_group = drawing.lay_out(panels, MOST_ACROSS, 2.3, rest)
        for plane, axes in chain(*by_group):
            _draw_plane(axes, plane, marks)
        planes = [plane for own in panels.values() for plane in own]
        drawn = {p.name for plane in planes for p in plane.points}
        handles = {name: drawing.line(color=m.colour, marker=m.marker, linestyle="", markersize=5)
                   for name, m in marks.items() if name in drawn}  # fmt: skip
        handles["Pareto front"] = drawing.line(**_FRONT)
        handles |= drawing.reference_lines({r.role for plane in planes for r in plane.references})
        if any(plane.stop_lines for plane in planes):
            handles["stop line"] = drawing.line(linestyle="-.")
        drawing.legend(picture, handles)
        return picture


def _short(planes: Sequence[Plane]) -> str:
    """What forgetting is measured by: 'MA', 'KS distance'."""
    return planes[0].forgetting.column.label.partition(" (")[0]


def _left(planes: Sequence[Plane]) -> str:
    is_distance = planes[0].forgetting.column.name == "ks_distance"
    return "nearer to the retrained model" if is_distance else "forgotten more"


def _front(plane: Plane) -> str:
    on = sorted((p for p in plane.points if p.on_front), key=lambda p: p.mean)
    forgetting = plane.forgetting.column
    points = ", ".join(f"{p.name} ({forgetting.text(p.mean[0])}, {plane.text(p)})" for p in on)
    return f"{plane.utility.column.label}: {points}"


def _levels(planes: Sequence[Plane]) -> str:
    levels: dict[str, list[str]] = {}
    for plane in planes:
        for point in plane.references:
            level = f"{plane.utility.column.label} {plane.text(point)}"
            value = plane.forgetting.column.text(point.mean[0])
            levels.setdefault(point.name, [f"{_short(planes)} {value}"]).append(level)
    if not levels:
        return ""
    references = [f"{name} has {', '.join(texts)}" for name, texts in levels.items()]
    return (
        "Dotted and dashed: utility before unlearning and of the retrained model, a star where "
        f"the {_short(planes)} is in the plane: {'; '.join(references)}."
    )


def _draw_plane(axes: "Axes", plane: Plane, marks: dict[str, Mark]) -> None:
    for point in plane.points:
        _draw_point(axes, plane, point, marks[point.name])
    # The front's steps: what lies right of and under it loses.
    on = sorted({p.mean for p in plane.points if p.on_front})
    axes.step([x for x, _ in on], [y for _, y in on], where="post", color=FOREGROUND, zorder=1,
              **_FRONT)  # fmt: skip
    for stop in plane.stop_lines:
        axes.axvline(stop, color=FOREGROUND, linewidth=0.8, linestyle="-.")
    left, right = axes.get_xlim()  # without the references: before unlearning is far to the right
    for point in plane.references:
        x, y = point.mean
        dashes = LINE_OF_ROLE[point.role]
        axes.axhline(y, color=FOREGROUND, linewidth=0.8, linestyle=dashes, zorder=1.5)
        is_scale = point.role == "null"  # as near as one retrained model comes to another
        if left < x < right or is_scale:
            axes.plot(x, y, "*", color=FOREGROUND, markersize=7, scalex=is_scale)
    if plane.is_log:
        drawing.log_axis(axes, "y")
        axes.invert_yaxis()
    axes.set_xlabel(plane.forgetting.title)
    axes.set_title(plane.utility.title)


def _draw_point(axes: "Axes", plane: Plane, point: Point, mark: Mark) -> None:
    x, y = point.mean
    for run in point.runs if plane.shows_runs else ():
        axes.plot(*run, mark.marker, color=mark.colour, markersize=2.5, alpha=0.6,
                  markeredgewidth=0)  # fmt: skip
    reach = spread(plane, point) if plane.shows_runs else None
    if reach is not None:
        across, up = ([[below], [above]] for below, above in reach)
        axes.errorbar(x, y, xerr=across, yerr=up, color=mark.colour, linewidth=0.7)
    face = "none" if point.is_bound else mark.colour
    axes.plot(x, y, mark.marker, color=mark.colour, markerfacecolor=face, markersize=6,
              markeredgecolor=mark.colour if point.is_bound else "white",
              markeredgewidth=1.2 if point.is_bound else 0.5, zorder=4)  # fmt: skip
