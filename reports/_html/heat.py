"""The comparison as a heat map: how far from worst to best each number stands in its column."""

import math
from collections.abc import Sequence

from unlearnbench.analysis.table import Column, Group

from .._figures.quantities import counts_as
from .._figures.squares import colours

STEPS = 10  # besides the worst; more shades than that no eye tells apart


def steps(group: Group, column: Column) -> list[int | None]:
    """Of each row a step from 0, the worst of the compared rows, to `STEPS`, the best of them.

    Equal as printed is equal here. Perplexities stand by their logarithm, those above the cap at
    the worst. References beyond the compared rows stand at the end they are beyond. None: without
    a direction, without a finite value, or nothing to tell apart.
    """
    places = [_place(group, column, row.mean(column.name)) for row in group.rows]
    found = [
        place
        for row, place in zip(group.rows, places, strict=True)
        if row.compared and place is not None and math.isfinite(place)
    ]
    low, high = min(found, default=0.0), max(found, default=0.0)
    if low == high:
        return [None] * len(places)
    return [None if place is None else _step(place, low, high) for place in places]


def _place(group: Group, column: Column, mean: float | None) -> float | None:
    """Higher is better; minus infinity is above the cap, whose true value nobody knows."""
    value = counts_as(column, mean, group.cap)
    if value is None or mean is None or column.higher_is_better is None:
        return None
    if column.is_over_cap(mean, group.cap):
        return -math.inf
    value = round(value, column.decimals)
    if column.capped:
        value = math.log(max(value, 10**-column.decimals))
    return value if column.higher_is_better else -value


def _step(place: float, low: float, high: float) -> int:
    return round(STEPS * (min(max(place, low), high) - low) / (high - low))


def style() -> str:
    """A rule for each step: one hue from pale to dark, so that lightness alone tells it."""
    return "\n".join(_rule(step, *colours(step / STEPS)) for step in range(STEPS + 1))


def _rule(step: int, background: Sequence[float], ink: str) -> str:
    shade = "".join(f"{round(255 * part):02x}" for part in background)
    return (
        f'.colours [data-heat="{step}"], .as-heat td[data-heat="{step}"] '
        f"{{ background: #{shade}; color: {ink}; }}"
    )
