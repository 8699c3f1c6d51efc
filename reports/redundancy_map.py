"""Which metrics put models in the same order, as a map of their rank correlations."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.footnotes import listed
from unlearnbench.registry import register

from ._figures import drawing
from ._figures.drawing import Mark, StyledFigure
from ._figures.squares import draw_square
from ._texts import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.meta.table import RedundancyRecord
    from unlearnbench.reporting.document import Findings

_MOST_WITH_NUMBERS = 24  # metrics: beyond, a number fits into no square


@register
@dataclass(frozen=True)
class RedundancyMap(StyledFigure["RedundancyRecord | None"]):
    """Rank correlations between metrics over models of known past, in clusters."""

    name: ClassVar[str] = "redundancy-map"
    absent = "No map of metrics: it needs a test of metrics (unlearnbench meta) of such models."

    def panels(self, findings: "Findings") -> "RedundancyRecord | None":
        """The correlations of the test that speaks of these results."""
        tested = findings.tested
        return tested.redundancy if tested and len(tested.redundancy.metrics) > 1 else None

    def sentences(self, findings: "Findings", panels: "RedundancyRecord | None") -> Iterator[str]:
        assert panels is not None
        assert findings.tested is not None
        yield (
            f"Spearman's rank correlation between metrics over {panels.n_models} models "
            f"({findings.tested.title}), ordered by clusters: the darker, the larger |rho|; values "
            "are turned so that more is better, and a minus says that two metrics contradict each "
            "other. Hatched: too few models have both."
        )
        labels = dict(zip(panels.metrics, panels.labels, strict=True))
        for group in panels.groups:
            yield f"Alike (|rho| of 0.9 or more): {listed(labels[name] for name in group)}."

    def draw_panels(
        self,
        panels: "RedundancyRecord | None",
        marks: dict[str, Mark],  # noqa: ARG002 - a square is no row
    ) -> "Drawing":
        """One square for each pair of metrics."""
        assert panels is not None
        n = len(panels.metrics)
        is_large = n > _MOST_WITH_NUMBERS
        height = (0.11 if is_large else 0.22) * n
        picture, [[(_, axes)]] = drawing.lay_out({"": [panels]}, 1, max(1.5, height), rest=0.3)
        for y, row in enumerate(reversed(panels.correlations)):
            for x, rho in enumerate(row):
                text = "" if rho is None or is_large else _short(rho)
                draw_square(axes, x, y, text, None if rho is None else abs(rho))
        axes.set_xlim(-0.53, n - 0.47)
        axes.set_ylim(-0.53, n - 0.47)
        numbers = range(1, n + 1)
        step = 5 if is_large else 1
        axes.set_xticks(range(step - 1, n, step), [str(at) for at in numbers[step - 1 :: step]])
        names = [
            f"{one_line(label)}  {at}" for at, label in zip(numbers, panels.labels, strict=True)
        ]
        axes.set_yticks(range(n), names[::-1])
        axes.tick_params(length=0, labelsize=5 if is_large else 7)
        axes.spines[:].set_visible(False)
        return picture


def _short(rho: float) -> str:
    """'.94', '−.8', '1': two digits at most."""
    if math.isclose(abs(rho), 1, abs_tol=0.005):
        return "1" if rho > 0 else "-1"
    return f"{rho:.2f}".replace("0.", ".", 1)
