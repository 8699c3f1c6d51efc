"""The Pareto front of points in two dimensions, and the area that it dominates."""

from collections.abc import Sequence

Point = tuple[float, float]
Directions = tuple[bool, bool]  # of both coordinates: whether more is better


def pareto_front(points: Sequence[Point], higher: Directions) -> list[bool]:
    """Whether each point is on the front: none is as good in both and better in one."""
    signed = [_signed(point, higher) for point in points]
    return [
        not any(p != own and all(o >= v for o, v in zip(p, own, strict=True)) for p in signed)
        for own in signed
    ]


def hypervolume(points: Sequence[Point], reference: Point, higher: Directions) -> float:
    """The area of all that some point is better than in both coordinates and that is better than
    the reference point; exact.

    A point that is no better than the reference in both adds nothing.  Source: Zitzler and Thiele
    1998.
    """
    x0, y0 = _signed(reference, higher)
    better = [(x, y) for x, y in (_signed(p, higher) for p in points) if x > x0 and y > y0]
    area, top = 0.0, y0
    for x, y in sorted(better, reverse=True):  # from the best in the first coordinate down
        if y > top:
            area += (x - x0) * (y - top)
            top = y
    return area


def _signed(point: Point, higher: Directions) -> Point:
    """The point with both coordinates turned so that more is better."""
    x, y = point
    return (x if higher[0] else -x, y if higher[1] else -y)
