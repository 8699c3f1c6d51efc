"""Two settings that vary together: a map of every pair for each metric that tells them apart."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnbench.registry import register

from ._figures.drawing import FOREGROUND, StyledFigure, style
from ._figures.maps import Map, Square, maps_of, quantities_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.reporting.findings import Findings

# Text on a coloured square; not the foreground's colour, which a dark page makes light.
_ON_PALE, _ON_DARK = "#000000", "#ffffff"
_PALE, _DARK = (0.93, 0.95, 0.97), (0.0, 0.27, 0.43)
_DARK_FROM = 0.69  # here black and white have the same contrast, 4.6 to 1


@register
@dataclass(frozen=True)
class HeatMap(StyledFigure):
    """A map of two settings that vary on purpose (alpha and beta) for each metric."""

    name: ClassVar[str] = "heat-map"

    def draw(self, findings: "Findings") -> "Drawing | None":
        """A map per metric; None unless exactly two of the findings' axes vary."""
        maps = maps_of(findings)
        with style(self.name):
            return _drawing(maps) if maps else None

    def caption(self, findings: "Findings") -> str:
        """The settings, what dark means, what is hatched, and the best pair of each metric."""
        maps = maps_of(findings)
        if not maps:
            return "No heat map: it needs the rows of one method that vary exactly two settings."
        across, up = maps[0].settings
        told = [
            f"{', '.join(dict.fromkeys(m.group for m in maps))} by {across} (across) and {up} "
            "(up). Darker is better, from the worst to the best of each map; log "
            "perplexity, one over the cap off the scale and palest. Outlined: the best as printed; "
            "hatched: not run, or without a value.",
            *dict.fromkeys(q.meaning for q in quantities_of(findings.table) if q.meaning),
            *map(_best, maps),
            _of_repeated(maps),
        ]
        return " ".join(filter(None, told))


def _told(value: Any) -> str:
    from unlearnbench.analysis.conditions import format_value

    return format_value(value)


def _best(one: Map) -> str:
    across, up = one.settings
    pairs = [f"{across}={_told(a)}, {up}={_told(b)}" for a, b in one.best]
    if len(pairs) == len(one.squares) > 1:
        return f"{one.title}: all equal as printed."
    return f"{one.title}: {' and '.join(pairs)} ({one.squares[one.best[0]].text})."


def _of_repeated(maps: tuple[Map, ...]) -> str:
    pairs = dict.fromkeys(pair for m in maps for pair in m.repeated)
    told = ", ".join(f"({_told(a)}, {_told(b)})" for a, b in pairs)
    return f"Of several rows with the same pair the table's first is shown: {told}." if told else ""


def _drawing(maps: tuple[Map, ...]) -> "Drawing":
    from ._figures.drawing import grid_of_axes, grid_shape, new_drawing, parts_of

    groups = list(dict.fromkeys(m.group for m in maps))
    # A square must hold '>1000': not more than 15 of them side by side, nor 3 maps.
    widest = max(len(m.values[0]) for m in maps)
    n_columns = max(1, min(3, 15 // widest))
    tallest = max(len(m.values[1]) for m in maps)
    n_rows = [grid_shape(sum(m.group == g for m in maps), n_columns)[0] for g in groups]
    drawing = new_drawing(sum(n_rows) * (0.27 * tallest + 0.75))
    for group, part in zip(groups, parts_of(drawing, groups, n_rows), strict=True):
        own = [m for m in maps if m.group == group]
        for one, axes in zip(own, grid_of_axes(part, len(own), n_columns), strict=True):
            _draw_map(axes, one)
    return drawing


def _draw_map(axes: "Axes", one: Map) -> None:
    across, up = one.values
    for x, a in enumerate(across):
        for y, b in enumerate(up):
            _draw_square(axes, x, y, one.squares.get((a, b)))
    axes.set_xlim(-0.53, len(across) - 0.47)
    axes.set_ylim(-0.53, len(up) - 0.47)
    axes.set_xticks(range(len(across)), [_told(v) for v in across])
    axes.set_yticks(range(len(up)), [_told(v) for v in up])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(one.settings[0])
    axes.set_ylabel(one.settings[1])
    axes.set_title(one.title)


def _draw_square(axes: "Axes", x: int, y: int, square: Square | None) -> None:
    from matplotlib.patches import Rectangle

    place = (x - 0.5, y - 0.5)
    if square is None or square.goodness is None:
        axes.add_patch(Rectangle(place, 1, 1, facecolor="none", edgecolor=FOREGROUND, alpha=0.35,
                                 hatch="/////", linewidth=0))  # fmt: skip
        return
    colour = [p + (d - p) * square.goodness for p, d in zip(_PALE, _DARK, strict=True)]
    axes.add_patch(Rectangle(place, 1, 1, facecolor=colour, edgecolor="white", linewidth=0.5))
    axes.text(x, y, square.text, ha="center", va="center", fontsize=6.5,
              color=_ON_DARK if square.goodness > _DARK_FROM else _ON_PALE,
              fontweight="bold" if square.best else "normal")  # fmt: skip
    if square.best:
        inner = (x - 0.45, y - 0.45)
        axes.add_patch(Rectangle(inner, 0.9, 0.9, fill=False, edgecolor="#E69F00", linewidth=1.5))
