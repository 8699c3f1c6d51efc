"""A square of a map: its value printed on a colour between pale and dark."""

from typing import TYPE_CHECKING

from .drawing import FOREGROUND

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Text on a coloured square; not the foreground's colour, which a dark page makes light.
_ON_PALE, _ON_DARK = "#000000", "#ffffff"
PALE, DARK = (0.93, 0.95, 0.97), (0.0, 0.27, 0.43)
DARK_FROM = 0.69  # here black and white have the same contrast, 4.6 to 1


def colours(share: float) -> tuple[tuple[float, ...], str]:
    """The colour of a square between pale at 0 and dark at 1, and of the text on it."""
    colour = tuple(p + (d - p) * share for p, d in zip(PALE, DARK, strict=True))
    return colour, _ON_DARK if share > DARK_FROM else _ON_PALE


def draw_square(
    axes: "Axes", x: int, y: int, text: str, share: float | None, is_marked: bool = False
) -> None:
    """The square around a point, from pale at 0 to dark at 1, hatched for None; marked: outlined.

    A second line of the text is printed smaller.
    """
    from matplotlib.patches import Rectangle

    place = (x - 0.5, y - 0.5)
    if share is None:
        axes.add_patch(Rectangle(place, 1, 1, facecolor="none", edgecolor=FOREGROUND, alpha=0.35,
                                 hatch="/////", linewidth=0))  # fmt: skip
        return
    colour, ink = colours(share)
    axes.add_patch(Rectangle(place, 1, 1, facecolor=colour, edgecolor="white", linewidth=0.5))
    first, _, second = text.partition("\n")
    axes.text(x, y + (0.12 if second else 0), first, ha="center", va="center", fontsize=6.5,
              color=ink, fontweight="bold" if is_marked else "normal")  # fmt: skip
    if second:
        axes.text(x, y - 0.22, second, ha="center", va="center", fontsize=4.8, color=ink)
    if is_marked:
        inner = (x - 0.45, y - 0.45)
        axes.add_patch(Rectangle(inner, 0.9, 0.9, fill=False, edgecolor="#E69F00", linewidth=1.5))
