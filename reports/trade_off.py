"""What forgetting costs: knowledge of the forget set against utility, with the Pareto front.

Where there is a retrained model it is the origin: to the left of it too much is forgotten, to the
right too little.  Else forgetting is drawn as it was measured, and more of it looks better.
"""

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

    from unlearnbench.analysis.table import Group, Table
    from unlearnbench.reporting.document import Findings

MA = "ma"  # what the stop line is about; EL10 is near 0 for all that reach the line
# What is known of a forget set, of which a difference to the retrained model has a direction.
SIGNED = (MA, "forget_probability", "forget_rouge_l_recall")
# Without a retrained row the first that was measured: its distance to such a model, if it has one.
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
    origin: tuple[float, float] | None = None  # the retrained model's values, where there is one
    nearness: str = ""  # the compared rows' distances to it, in a sentence
    shams: tuple[Point, ...] = ()  # rows that must not look like unlearning

    @property
    def is_log(self) -> bool:
        """Whether utility is a perplexity: on a log axis, turned so that up is better."""
        return self.utility.column.capped

    @property
    def shows_runs(self) -> bool:
        """Whether there are not too many rows for runs and whiskers."""
        return len(self.points) <= MOST_WITH_RUNS

    def place(self, pair: tuple[float, float]) -> tuple[float, float]:
        """Where two values are drawn: from the retrained model's, if there is one.

        Their differences to it; of a perplexity the ratio.
        """
        if self.origin is None:
            return pair
        (x, y), (x_0, y_0) = pair, self.origin
        return x - x_0, y / y_0 if self.is_log else y - y_0

    def text(self, point: Point) -> str:
        """Utility and its value."""
        return self.utility.printed(point.mean[1], point.is_bound)


Planes = dict[str, tuple[Plane, ...]]  # by group


def spread(plane: Plane, point: Point) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Sample standard deviation over runs below and above the mean, for both axes, as drawn.

    Of the logarithms on a log axis; None with fewer than two runs.
    """
    if len(point.runs) < 2:
        return None
    across = stdev(x for x, _ in point.runs)
    if not plane.is_log:
        up = stdev(y for _, y in point.runs)
        return (across, across), (up, up)
    ratio = math.exp(stdev(math.log(y) for _, y in point.runs))
    y = plane.place(point.mean)[1]
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
    references = tuple(p for p in by_label.values() if p.role in LINE_OF_ROLE)
    origin = next((p.mean for p in references if p.role == "retrained"), None)
    if forgetting.column.name not in SIGNED:
        origin = None
    is_ma = forgetting.column.name == MA
    higher = (bool(forgetting.column.higher_is_better), bool(utility.column.higher_is_better))
    compared = [p.mean for p in points]
    if origin is not None:  # nearer to it is better, from either side
        compared, higher = [(abs(x - origin[0]), y) for x, y in compared], (False, higher[1])
    front = pareto_front(compared, higher)
    return Plane(
        forgetting,
        utility,
        tuple(replace(p, on_front=on) for p, on in zip(points, front, strict=True)),
        references,
        quantities.stop_lines(group, MA, forgetting.column.scale) if is_ma else (),
        tuple(row.label for row in group.compared if row.label not in by_label),
        origin,
        _nearness(findings.table, group) if origin is not None else "",
        tuple(p for p in by_label.values() if p.role == "sham"),
    )


def _nearness(table: "Table", group: "Group") -> str:
    """The distances of a group's rows to the retrained model, by the column that leads."""
    column = next((column for column in table.metric_columns if column.leads), None)
    if column is None:
        return ""
    names = quantities.row_names(group)
    rows = (row for row in group.rows if column.name in row.cells and row.role != "retrained")
    texts = [f"{names[row.label]} {group.text(row, column)}" for row in rows]
    return f"{column.label}: {', '.join(texts)}." if texts else ""


def _pair(x: float | None, y: float | None) -> tuple[float, float] | None:
    return None if x is None or y is None else (x, y)


_LEFT_OUT = f" (no runs and whiskers where there are more than {MOST_WITH_RUNS} rows)."
# Wide and pale, so that it shows under whiskers.
_FRONT: dict[str, Any] = {"linewidth": 3.0, "alpha": 0.25}
_BOX: dict[str, Any] = {"alpha": 0.12}
# Round a point, where the front is no line: it lies on both sides of the origin.
_RING: dict[str, Any] = {"marker": "o", "markersize": 11, "markerfacecolor": "none",
                         "markeredgewidth": 2.0, "alpha": 0.25}  # fmt: skip
_SHAM: dict[str, Any] = {"marker": "x", "markersize": 4.0, "alpha": 0.6}


@register
@dataclass(frozen=True)
class TradeOff(StyledFigure[Planes]):
    """Forgetting against utility, from the retrained model where there is one; the Pareto front."""

    name: ClassVar[str] = "trade-off"
    absent = "No trade-off plane: no compared row has both MA and a measure of utility."

    def panels(self, findings: "Findings") -> Planes:
        """Per group one plane for each measure of utility that a compared row has beside MA."""
        utilities = quantities.of(findings.table, UTILITIES)
        planes: Planes = {}
        for group in findings.table.groups:
            forgetting = _forgetting(findings.table, group)
            if forgetting is None:
                continue
            own = (_plane(findings, group, forgetting, utility) for utility in utilities)
            if drawn := tuple(plane for plane in own if plane.points):
                planes[group.title] = drawn
        return planes

    def sentences(self, findings: "Findings", panels: Planes) -> Iterator[str]:
        planes = [plane for own in panels.values() for plane in own]
        yield f"Forgetting against utility: {quantities.listed_groups(findings.table)}."
        yield from _directions([p for p in planes if p.origin is not None])
        if plain := [p for p in planes if p.origin is None]:
            yield (
                f"To the left is {_left(plain)}, up is more useful (perplexity on a turned log "
                "axis)."
            )
        yield from dict.fromkeys(p.utility.meaning for p in planes)
        yield (
            "Large: a row's means, hollow where the utility is the cap; small: its runs; "
            "whiskers: one sample standard deviation over two or more runs"
            + ("." if all(p.shows_runs for p in planes) else _LEFT_OUT)
        )
        yield from _fronts(planes)
        for group, own in panels.items():
            yield f"Front in {group} ({_short(own)}, utility), {'; '.join(map(_front, own))}."
            yield own[0].nearness
            yield _levels(own)
            yield _shams(own)
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
        if any(plane.origin is None for plane in planes):
            handles["Pareto front"] = drawing.line(**_FRONT)
        if any(plane.origin is not None for plane in planes):
            handles["on the Pareto front"] = drawing.line(linestyle="", **_RING)
        handles |= drawing.reference_lines({r.role for plane in planes for r in plane.references})
        if any(map(_has_box, planes)):
            handles["as far as a second retraining"] = drawing.line(linewidth=6, **_BOX)
        if any(plane.stop_lines for plane in planes):
            handles["stop line"] = drawing.line(linestyle="-.")
        if any(plane.shams for plane in planes):
            handles["sham"] = drawing.line(linestyle="", **_SHAM)
        drawing.legend(picture, handles)
        return picture


def _has_box(plane: Plane) -> bool:
    """Whether it shows how far one retrained model is from another."""
    return plane.origin is not None and any(r.role == "null" for r in plane.references)


def _forgetting(table: "Table", group: "Group") -> Quantity | None:
    """What a retrained row has a value of, in one direction; else what was measured first."""
    retrained = [row for row in group.rows if row.role == "retrained"]
    for one in quantities.of(table, SIGNED):
        if any(one.of_row(row, group.cap) is not None for row in retrained):
            return one
    return next(iter(quantities.of(table, FORGETTING)), None)


def _directions(planes: Sequence[Plane]) -> Iterator[str]:
    """What the quadrants around the retrained model mean."""
    if not planes:
        return
    short = _short(planes)
    yield (
        f"The origin is the retrained model: {short} and utility are differences to its own, a "
        "perplexity the ratio, on a turned log axis. To the right a row forgets too little: it "
        "knows more of the forget set than the retrained model does; to the left it forgets too "
        "much. Above the dashed line it is more useful than the retrained model, below less; what "
        "fell from the dotted line was harmed, on the left by forgetting more than was asked."
    )
    if any(map(_has_box, planes)):
        yield "Box: as far as a second retraining is from the first, in each direction."


def _fronts(planes: Sequence[Plane]) -> Iterator[str]:
    """What of a picture is the Pareto front, and what is better in it."""
    stop = "; beyond the stop line (dash-dotted) a lower MA is no further success"
    for is_line in (True, False):
        own = [plane for plane in planes if (plane.origin is None) == is_line]
        if not own:
            continue
        what = "Pale line" if is_line else "Ringed"
        better = f"lower {_short(own)}" if is_line else f"{_short(own)} nearer to the retrained"
        yield (
            f"{what}: the Pareto front of the compared rows' means, {better} and better utility "
            "being better as in the table"
            + (f"{stop}." if any(plane.stop_lines for plane in own) else ".")
        )


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


def _shams(planes: Sequence[Plane]) -> str:
    labels = dict.fromkeys(point.name for plane in planes for point in plane.shams)
    if not labels:
        return ""
    return f"Crosses, where they are in the plane: shams, no unlearning ({', '.join(labels)})."


def _draw_plane(axes: "Axes", plane: Plane, marks: dict[str, Mark]) -> None:
    for point in plane.points:
        _draw_point(axes, plane, point, marks[point.name])
    on = sorted({plane.place(p.mean) for p in plane.points if p.on_front})
    if plane.origin is None:  # the front's steps: what lies right of and under it loses
        axes.step([x for x, _ in on], [y for _, y in on], where="post", color=FOREGROUND, zorder=1,
                  **_FRONT)  # fmt: skip
    for x, y in on if plane.origin is not None else ():
        axes.plot(x, y, color=FOREGROUND, zorder=1, **_RING)
    shift = plane.origin[0] if plane.origin is not None else 0.0
    for stop in plane.stop_lines:
        axes.axvline(stop - shift, color=FOREGROUND, linewidth=0.8, linestyle="-.")
    _draw_references(axes, plane)
    if plane.is_log:
        drawing.log_axis(axes, "y")
        axes.invert_yaxis()
    if plane.origin is None:
        axes.set_xlabel(plane.forgetting.title)
        axes.set_title(plane.utility.title)
        return
    column = plane.utility.column
    made = "over" if plane.is_log else "less"
    axes.axvline(0.0, color=FOREGROUND, linewidth=0.8, linestyle=LINE_OF_ROLE["retrained"])
    axes.set_xlabel(f"{plane.forgetting.column.label} less the retrained model's\n"
                    "← forgets too much      forgets too little →")  # fmt: skip
    axes.set_title(f"{column.label} {made} the retrained's {column.arrow}")


def _draw_references(axes: "Axes", plane: Plane) -> None:
    left, right = axes.get_xlim()  # without the references: before unlearning is far to the right
    for point in plane.references:
        x, y = plane.place(point.mean)
        dashes = LINE_OF_ROLE[point.role]
        axes.axhline(y, color=FOREGROUND, linewidth=0.8, linestyle=dashes, zorder=1.5)
        # As near as one retrained model comes to another; the origin is always there.
        is_scale = point.role == "null" or (plane.origin is not None and point.role == "retrained")
        if left < x < right or is_scale:
            axes.plot(x, y, "*", color=FOREGROUND, markersize=7, scalex=is_scale)
        if point.role == "null" and plane.origin is not None:
            ends = (y, 1 / y) if plane.is_log else (y, -y)
            axes.fill_between([-abs(x), abs(x)], *ends, color=FOREGROUND, linewidth=0, **_BOX)
    for sham in plane.shams:
        x, y = plane.place(sham.mean)
        if left < x < right:
            axes.plot(x, y, color=FOREGROUND, scalex=False, **_SHAM)


def _draw_point(axes: "Axes", plane: Plane, point: Point, mark: Mark) -> None:
    x, y = plane.place(point.mean)
    for run in point.runs if plane.shows_runs else ():
        axes.plot(*plane.place(run), mark.marker, color=mark.colour, markersize=2.5, alpha=0.6,
                  markeredgewidth=0)  # fmt: skip
    reach = spread(plane, point) if plane.shows_runs else None
    if reach is not None:
        across, up = ([[below], [above]] for below, above in reach)
        axes.errorbar(x, y, xerr=across, yerr=up, color=mark.colour, linewidth=0.7)
    face = "none" if point.is_bound else mark.colour
    axes.plot(x, y, mark.marker, color=mark.colour, markerfacecolor=face, markersize=6,
              markeredgecolor=mark.colour if point.is_bound else "white",
              markeredgewidth=1.2 if point.is_bound else 0.5, zorder=4)  # fmt: skip
