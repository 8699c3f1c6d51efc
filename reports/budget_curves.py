"""What more configurations of a method are expected to find: one curve a method."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register

from ._figures import drawing
from ._figures.curves import Curve, CurvePanel, CurvePanels, draw
from ._figures.drawing import Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.budgets.trials import BudgetPanel, MethodTrials
    from unlearnbench.reporting.document import Findings


_MOST_BANDS = 4  # methods: the intervals of more lie over each other


@register
@dataclass(frozen=True)
class BudgetCurves(StyledFigure[CurvePanels]):
    """The expected best of k configurations over k, a line a method."""

    name: ClassVar[str] = "budget-curves"
    absent = "No curves of budgets: no method has two configurations on the same forget sets."

    def panels(self, findings: "Findings") -> CurvePanels:
        """One panel for each group of trials."""
        return {panel.title: (_panel(panel),) for panel in findings.budgets}

    def sentences(self, findings: "Findings", panels: CurvePanels) -> Iterator[str]:
        """What is shown, and what bands are."""
        yield (
            f"Expected best of k configurations (log axis) of each method: {', '.join(panels)}. "
            "Where two lines cross, the ranking depends on how many configurations were tried."
        )
        yield f"Score: {findings.budgets[0].objective.in_words}."
        if any(low is not None for own in panels.values() for p in own for c in p.curves
               for low in c.lows):  # fmt: skip
            yield "Pale: 95% intervals over configurations."

    def draw_panels(self, panels: CurvePanels, marks: dict[str, Mark]) -> "Drawing":  # noqa: ARG002
        """The panels under each other; the rows of a table are not the methods, so own marks."""
        names = (curve.name for own in panels.values() for panel in own for curve in panel.curves)
        return draw(panels, drawing.marks(names))


def _panel(panel: "BudgetPanel") -> CurvePanel:
    column = panel.objective.column
    scored = [own for own in panel.methods if own.scores]
    curves = tuple(_curve(own, column.scale, len(scored) <= _MOST_BANDS) for own in scored)
    up = f"{column.label} {column.arrow}"
    return CurvePanel("", "configurations tried, k", up, curves, is_log=True)


def _curve(own: "MethodTrials", scale: float, has_band: bool) -> Curve:
    sizes = range(1, len(own.scores) + 1)
    ends = [(own.interval(k) if has_band else None) or (None, None) for k in sizes]
    return Curve(
        own.method,
        "method",
        tuple(map(float, sizes)),
        tuple(value * scale for value in own.curve),
        tuple(None if low is None else low * scale for low, _ in ends),
        tuple(None if high is None else high * scale for _, high in ends),
    )
