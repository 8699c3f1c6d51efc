"""What all figures share: one style, colours and marks that differ in more than colour, legends."""

import math
import re
import textwrap
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from unlearnbench.files.safe_text import visible
from unlearnbench.reporting.report import Figure, Format

from .._texts import one_line
from .quantities import names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing
    from matplotlib.lines import Line2D

    from unlearnbench.reporting.document import Findings

P = TypeVar("P")  # what a figure calls its panels
T = TypeVar("T")
WIDTH = 7.0  # inches: both columns of a paper
MOST_WITH_RUNS = 8  # more rows than this, and single runs and whiskers would be a thicket
# All lines and text that are no data; a page in dark mode puts its own colour in this one's place.
FOREGROUND = "#1f2328"
# Of reference lines, in every figure.
LINE_OF_ROLE: dict[str, Any] = {"before": ":", "retrained": "--", "null": (0, (1, 4))}
ROLE_NAMES = {
    "before": "before unlearning",
    "retrained": "retrained",
    "null": "retrained, other seed",
}
# Okabe and Ito's palette (2008) for all kinds of colour vision, without its black, which is the
# text's, and its yellow, which is lost on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Lengths without a common factor, so that 42 rows differ in colour or marker.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "/////", ".....", "xxxxx", "-----")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2, 1, 2)))
_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "axes.facecolor": "none",
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.03,
    "savefig.dpi": 200,
    "text.parse_math": False,  # a label with two '$' is no formula
    "pdf.fonttype": 42,  # TrueType: what conferences ask for
    "svg.fonttype": "none",
    **dict.fromkeys(
        ("axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color",
         "text.color", "legend.edgecolor", "hatch.color"),
        FOREGROUND,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """How a row looks, in bars, points and lines alike."""

    colour: str
    marker: str
    hatch: str
    dashes: Any


class StyledFigure(Figure, Generic[P]):
    """A figure of panels in the common style, whatever the user's own matplotlib settings."""

    absent: ClassVar[str]  # the caption where there is nothing to draw

    @abstractmethod
    def panels(self, findings: "Findings") -> P:
        """What is to be drawn, without matplotlib; empty where there is nothing."""

    @abstractmethod
    def draw_panels(self, panels: P, marks: dict[str, Mark]) -> "Drawing":
        """The picture of at least one panel, with the look of every row by its short name."""

    @abstractmethod
    def sentences(self, findings: "Findings", panels: P) -> "Iterable[str]":
        """The caption of at least one panel; empty sentences are left out."""

    def draw(self, findings: "Findings") -> "Drawing | None":
        """The picture of the panels; None if there are none."""
        panels = self.panels(findings)
        with style(self.name):
            return self.draw_panels(panels, marks(names_of(findings.table))) if panels else None

    def caption(self, findings: "Findings") -> str:
        """What the panels show, in sentences, or why there are none."""
        panels = self.panels(findings)
        return " ".join(filter(None, self.sentences(findings, panels))) if panels else self.absent

    def make_image(self, findings: "Findings", kind: Format) -> bytes | None:
        """The picture as a file: fonts embedded, SVG text as text on a transparent ground."""
        # A PNG is looked at on its own; the others lie on a page that has a colour.
        with style(self.name, ground="white" if kind == "png" else "none"):
            image = super().make_image(findings, kind)
        if image is None or kind != "svg":
            return image
        # 'axes_1' and the like point to nothing, and would be there twice in a page of two figures.
        # A control character in a name would make it no XML; of our own there is none.
        return visible(re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", image.decode())).encode()


@contextmanager
def style(salt: str, ground: str = "none") -> Iterator[None]:
    """Draw or save in the common style; `salt` keeps the ids of several SVGs in a page apart."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        own: Any = {"svg.hashsalt": salt, "savefig.facecolor": ground, **_SETTINGS}
        matplotlib.rcParams.update(own)
        yield


def lay_out(
    groups: Mapping[str, Sequence[T]], most_columns: int, height: float, rest: float, **shared: Any
) -> "tuple[Drawing, list[list[tuple[T, Axes]]]]":
    """A picture with a part for each group, and its panels in rows of so many inches.

    Rows are of about equal length, none longer than allowed; several groups have their titles.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    shapes = [grid_shape(len(panels), most_columns) for panels in groups.values()]
    n_rows = [shape[0] for shape in shapes]
    drawing = Drawing(figsize=(WIDTH, sum(n_rows) * height + rest), layout="constrained")
    FigureCanvasAgg(drawing)  # it belongs to no window and no global state
    several = len(groups) > 1
    parts: Any = drawing.subfigures(len(groups), 1, height_ratios=n_rows) if several else [drawing]
    by_group = []
    for part, (title, panels), shape in zip(parts, groups.items(), shapes, strict=True):
        if several:
            part.suptitle(one_line(title), fontsize=8, fontweight="bold")
        axes = part.subplots(*shape, squeeze=False, **shared).flatten()
        for spare in axes[len(panels) :]:
            spare.remove()
        by_group.append(list(zip(panels, axes, strict=False)))
    return drawing, by_group


def grid_shape(n: int, most_columns: int) -> tuple[int, int]:
    """Rows and columns: 10 in at most 6 columns is 2 rows of 5."""
    n_rows = -(-n // most_columns)
    return n_rows, -(-n // n_rows)


def marks(names: Iterable[str]) -> dict[str, Mark]:
    """A look for each name, in the order given; the same in every figure of the same findings."""
    looks = map(Mark, *map(cycle, (_COLOURS, _MARKERS, _HATCHES, _DASHES)))
    return dict(zip(dict.fromkeys(names), looks, strict=False))


def wrapped(label: str, width: int = 26, at_hyphens: bool = False) -> str:
    """A label in lines that fit beside a panel."""
    return textwrap.fill(one_line(label), width, break_on_hyphens=at_hyphens)


def legend(drawing: "Drawing", handles: Mapping[str, Any]) -> None:
    """What the marks mean, by name, under all panels, in as many columns as fit."""
    lines = [wrapped(label, 30) for label in handles]
    longest = max(len(part) for line in lines for part in line.split("\n"))
    n_columns = max(1, min(len(lines), int(WIDTH / (0.063 * longest + 0.5))))
    drawing.legend(list(handles.values()), lines, loc="outside lower center", ncols=n_columns)


def line(**looks: Any) -> "Line2D":
    """A line or a marker for a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **{"color": FOREGROUND, **looks})


def reference_lines(roles: Collection[str]) -> "dict[str, Line2D]":
    """What a legend says of the lines of these reference rows, in the table's order."""
    return {
        ROLE_NAMES[role]: line(linestyle=dashes, linewidth=0.9)
        for role, dashes in LINE_OF_ROLE.items()
        if role in roles
    }


def log_axis(axes: "Axes", which: Literal["x", "y"], start: float | None = None) -> None:
    """A logarithmic axis over what is drawn, or from `start` on, its ticks in plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    first, last = getattr(axes.dataLim, f"interval{which}")
    low, high = log_limits(first, last, start)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    if high < 10 * low:  # hardly a power of ten in it
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(subs=(1, 3) if high < 100 * low else (1,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}" if v < 1000 else f"{v / 1e3:g}k"))
    axis.set_minor_formatter(NullFormatter())


def log_limits(low: float, high: float, start: float | None = None) -> tuple[float, float]:
    """The ends of a log axis: a little beyond the values, and a factor of 1.5 apart at least."""
    if start is not None:
        return start, max(high * (high / start) ** 0.07, 1.5 * start)
    middle = math.sqrt(low * high)
    half = max((high / low) ** 0.57, math.sqrt(1.5))
    return middle / half, middle * half


def least_limits(low: float, high: float, decimals: int) -> tuple[float, float] | None:
    """Limits for bars between these values that all but vanish as printed; None if they do not.

    Without them an axis would be stretched until 0.0 and 0.0 look different.
    """
    least = 10 * 10.0**-decimals
    if high - low >= least / 2:
        return None
    return (-least if low < 0 else 0.0), (least if high > 0 or low == 0 else 0.0)
