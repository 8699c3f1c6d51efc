"""Two settings that vary together: the squares of the heat map figure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unlearnbench.analysis.columns import ABSENT

from .quantities import PERPLEXITY, quantity

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Group, Row, Table
    from unlearnbench.reporting.findings import Findings

    from .quantities import Quantity

SHOWN = ("s_z", "ma", "bertscore_f1", PERPLEXITY.name, "cls_avg", "dia_avg")
Pair = tuple[Any, Any]  # of settings: across, up


@dataclass(frozen=True)
class Square:
    """One pair of settings in one map."""

    text: str
    value: float | None = None
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


def maps_of(findings: "Findings") -> tuple[Map, ...]:
    """Per group and method that varies exactly two of the axes, a map for each metric shown."""
    maps = []
    for group in findings.table.groups:
        for rows in _by_method(group):
            settings = _varying(rows, findings.axes)
            if len(settings) == 2:
                pair = (settings[0], settings[1])
                maps += [_map(group, rows, pair, q) for q in quantities_of(findings.table)]
    return tuple(m for m in maps if any(s.value is not None for s in m.squares.values()))


def goodness(values: list[float], higher_is_better: bool, is_log: bool) -> list[float]:
    """Where each value stands between the worst (0) and the best (1); 0.5 if all are equal."""
    counted = [math.log(value) if is_log else value for value in values]
    low, high = min(counted, default=0.0), max(counted, default=0.0)
    if low == high:
        return [0.5] * len(values)
    worst, best = (low, high) if higher_is_better else (high, low)
    return [(value - worst) / (best - worst) for value in counted]


def quantities_of(table: "Table") -> "list[Quantity]":
    """What the maps show, of that which was measured."""
    return [found for name in SHOWN if (found := quantity(table, name)) is not None]


def _by_method(group: "Group") -> "list[list[Row]]":
    rows = [row for row in group.rows if row.role == "method"]
    return [[r for r in rows if r.method == m] for m in dict.fromkeys(r.method for r in rows)]


def _varying(rows: "list[Row]", axes: tuple[str, ...]) -> list[str]:
    return [a for a in axes if len({_value(r, a) for r in rows}) > 1]


def _map(group: "Group", rows: "list[Row]", settings: tuple[str, str], quantity: "Quantity") -> Map:
    found: dict[Pair, Row] = {}
    repeated = []
    for row in rows:
        pair = (_value(row, settings[0]), _value(row, settings[1]))
        if pair in found:
            repeated.append(pair)
        found.setdefault(pair, row)
    return Map(
        quantity.title,
        f"{group.title}, {rows[0].method}",
        settings,
        (_sorted(a for a, _ in found), _sorted(b for _, b in found)),
        _squares(group, found, quantity),
        tuple(dict.fromkeys(repeated)),
    )


def _squares(group: "Group", rows: "dict[Pair, Row]", quantity: "Quantity") -> dict[Pair, Square]:
    column, cap = quantity.column, group.cap
    values = {pair: quantity.of_row(row, cap) for pair, row in rows.items()}
    known = {pair: value for pair, value in values.items() if value is not None}
    # Values over the cap are not known; on the scale they would make all others look alike.
    over = {pair for pair in known if quantity.is_over_cap(rows[pair], cap)}
    scaled = {pair: value for pair, value in known.items() if pair not in over}
    up = bool(column.higher_is_better)
    shares = zip(scaled, goodness(list(scaled.values()), up, column.capped), strict=True)
    places = {**dict(shares), **dict.fromkeys(over, 0.0)}
    rounded = {pair: round(value, column.decimals) for pair, value in known.items()}
    best = (max if up else min)(rounded.values(), default=None)
    return {
        pair: Square(quantity.text(row, cap), values[pair], places[pair], rounded[pair] == best)
        if pair in known
        else Square(ABSENT)
        for pair, row in rows.items()
    }


def _value(row: "Row", setting: str) -> Any:
    found = row.settings.get(setting)
    return tuple(found) if isinstance(found, list) else found  # one that can be looked up


def _sorted(values: Iterable[Any]) -> tuple[Any, ...]:
    distinct = list(dict.fromkeys(values))
    numbers = all(isinstance(v, int | float) for v in distinct)
    return tuple(sorted(distinct) if numbers else distinct)
