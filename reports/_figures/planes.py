"""Forgetting against utility: the points of the trade-off figure, and which are on the front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import stdev
from typing import TYPE_CHECKING

from .drawing import LINE_OF_ROLE
from .quantities import PERPLEXITY, Quantity, quantity, row_names

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Group, Row
    from unlearnbench.reporting.findings import Findings

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
    forgetting = quantity(table, FORGETTING)
    utilities = [found for name in UTILITIES if (found := quantity(table, name)) is not None]
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
    found = {row.label: _point(findings, group, row, forgetting, utility) for row in group.rows}
    points = [point for row in group.compared if (point := found[row.label]) is not None]
    higher = (bool(forgetting.column.higher_is_better), bool(utility.column.higher_is_better))
    front = pareto_front([p.mean for p in points], higher)
    methods = [row for row in group.rows if row.role == "method"]
    stops = {stop.ma * forgetting.column.scale for row in methods for stop in row.stops}
    return Plane(
        group.title,
        forgetting,
        utility,
        tuple(replace(p, on_front=on) for p, on in zip(points, front, strict=True)),
        tuple(p for p in found.values() if p is not None and p.role in LINE_OF_ROLE),
        tuple(sorted({round(stop, 2) for stop in stops})),
        tuple(row.label for row in group.compared if found[row.label] is None),
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
    name = row_names(group)[row.label]
    return Point(name, row.role, (x, y), runs, utility.is_over_cap(row, group.cap))
