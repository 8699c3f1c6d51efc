"""Two settings that vary together: a map of every pair for each metric that tells them apart."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.table import ABSENT
from unlearnbench.registry import register

from ._figures import drawing, quantities
from ._figures.drawing import Mark, StyledFigure
from ._figures.quantities import PERPLEXITY, Quantity
from ._figures.squares import draw_square

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Group, Row
    from unlearnbench.reporting.document import Findings

METRICS = ("s_z", "ma", "bertscore_f1", PERPLEXITY.name, "cls_avg", "dia_avg")
Pair = tuple[Any, Any]  # of settings: across, up


@dataclass(frozen=True)
class Square:
    """One pair of settings in one map."""

    text: str
    goodness: float | None = None  # 0 the worst of the map, 1 the best; None: no value
    best: bool = False  # as printed


@dataclass(frozen=True)
class Map:
    """One metric of one method over the two settings."""

    title: str
    group: str
    settings: tuple[str, str]  # across, up
    values: tuple[tuple[Any, ...], tuple[Any, ...]]
    squares: Mapping[Pair, Square]  # by pair; one that is missing was not run
    repeated: tuple[Pair, ...] = ()  # pairs with more than one row: the first is shown

    @property
    def best(self) -> list[Pair]:
        """The pairs with the best value as printed."""
        return [pair for pair, square in self.squares.items() if square.best]


def goodness(values: list[float], higher_is_better: bool, is_log: bool) -> list[float]:
    """Where each value stands between the worst (0) and the best (1); 0.5 if all are equal."""
    counted = [math.log(value) if is_log else value for value in values]
    low, high = min(counted, default=0.0), max(counted, default=0.0)
    if low == high:
        return [0.5] * len(values)
    worst, best = (low, high) if higher_is_better else (high, low)
    return [(value - worst) / (best - worst) for value in counted]


def _map(group: "Group", rows: "list[Row]", settings: tuple[str, str], quantity: Quantity) -> Map:
    by_pair: dict[Pair, list[Row]] = {}
    for row in rows:
        pair = _value(row, settings[0]), _value(row, settings[1])
        by_pair.setdefault(pair, []).append(row)
    return Map(
        quantity.title,
        f"{group.title}, {rows[0].method}",
        settings,
        (_sorted(a for a, _ in by_pair), _sorted(b for _, b in by_pair)),
        _squares(group, {pair: of_pair[0] for pair, of_pair in by_pair.items()}, quantity),
        tuple(pair for pair, of_pair in by_pair.items() if len(of_pair) > 1),
    )


def _squares(group: "Group", rows: "dict[Pair, Row]", quantity: Quantity) -> dict[Pair, Square]:
    column, cap = quantity.column, group.cap
    values = ((pair, quantity.of_row(row, cap)) for pair, row in rows.items())
    measured = {pair: value for pair, value in values if value is not None}
    # Values over the cap are not known; on the scale they would make all others look alike.
    over = {pair for pair in measured if quantity.is_over_cap(rows[pair], cap)}
    scaled = {pair: value for pair, value in measured.items() if pair not in over}
    up = bool(column.higher_is_better)
    shares = zip(scaled, goodness(list(scaled.values()), up, column.capped), strict=True)
    places = {**dict(shares), **dict.fromkeys(over, 0.0)}
    rounded = {pair: round(value, column.decimals) for pair, value in measured.items()}
    best = (max if up else min)(rounded.values(), default=None)
    return {
        pair: Square(quantity.text(row, cap), places[pair], rounded[pair] == best)
        if pair in measured
        else Square(ABSENT)
        for pair, row in rows.items()
    }


def _value(row: "Row", setting: str) -> Any:
    value = row.settings.get(setting)
    return tuple(value) if isinstance(value, list) else value  # one that can be looked up


def _sorted(values: Iterable[Any]) -> tuple[Any, ...]:
    distinct = list(dict.fromkeys(values))
    numbers = all(isinstance(v, int | float) for v in distinct)
    return tuple(sorted(distinct) if numbers else distinct)


@register
@dataclass(frozen=True)
class HeatMap(StyledFigure[tuple[Map, ...]]):
    """A map of two settings that vary on purpose (alpha and beta) for each metric."""

    name: ClassVar[str] = "heat-map"
    absent = "No heat map: it needs the rows of one method that vary exactly two settings."

    def panels(self, findings: "Findings") -> tuple[Map, ...]:
        """Per group and method that varies exactly two of the axes, a map for each metric shown."""
        shown = quantities.of(findings.table, METRICS)
        maps = []
        for group in findings.table.groups:
            for rows in quantities.families(group):
                varying = [a for a in findings.axes if len({_value(r, a) for r in rows}) > 1]
                if len(varying) == 2:
                    maps += [_map(group, rows, (varying[0], varying[1]), q) for q in shown]
        return tuple(m for m in maps if any(s.goodness is not None for s in m.squares.values()))

    def sentences(self, findings: "Findings", panels: tuple[Map, ...]) -> Iterator[str]:
        across, up = panels[0].settings
        yield (
            f"{', '.join(dict.fromkeys(m.group for m in panels))} by {across} (across) and {up} "
            "(up). Darker is better, from the worst to the best of each map; log "
            "perplexity, one over the cap off the scale and palest. Outlined: the best as printed; "
            "hatched: not run, or without a value."
        )
        yield from dict.fromkeys(q.meaning for q in quantities.of(findings.table, METRICS))
        yield from map(_best, panels)
        if pairs := dict.fromkeys(pair for m in panels for pair in m.repeated):
            texts = ", ".join(f"({format_value(a)}, {format_value(b)})" for a, b in pairs)
            yield f"Of several rows with the same pair the table's first is shown: {texts}."

    def draw_panels(
        self,
        panels: tuple[Map, ...],
        marks: dict[str, Mark],  # noqa: ARG002 - a square is no row
    ) -> "Drawing":
        """The maps of each method in as many columns as fit."""
        groups: dict[str, list[Map]] = {}
        for one in panels:
            groups.setdefault(one.group, []).append(one)
        # A square must hold '>1000': not more than 15 of them side by side, nor 3 maps.
        n_columns = max(1, min(3, 15 // max(len(m.values[0]) for m in panels)))
        tallest = max(len(m.values[1]) for m in panels)
        picture, by_group = drawing.lay_out(groups, n_columns, 0.27 * tallest + 0.75, rest=0.0)
        for one, axes in chain(*by_group):
            _draw_map(axes, one)
        return picture


def _best(one: Map) -> str:
    across, up = one.settings
    pairs = [f"{across}={format_value(a)}, {up}={format_value(b)}" for a, b in one.best]
    if len(pairs) == len(one.squares) > 1:
        return f"{one.title}: all equal as printed."
    return f"{one.title}: {' and '.join(pairs)} ({one.squares[one.best[0]].text})."


def _draw_map(axes: "Axes", one: Map) -> None:
    across, up = one.values
    for x, a in enumerate(across):
        for y, b in enumerate(up):
            square = one.squares.get((a, b)) or Square(ABSENT)
            draw_square(axes, x, y, square.text, square.goodness, square.best)
    axes.set_xlim(-0.53, len(across) - 0.47)
    axes.set_ylim(-0.53, len(up) - 0.47)
    axes.set_xticks(range(len(across)), [format_value(v) for v in across])
    axes.set_yticks(range(len(up)), [format_value(v) for v in up])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(one.settings[0])
    axes.set_ylabel(one.settings[1])
    axes.set_title(one.title)
