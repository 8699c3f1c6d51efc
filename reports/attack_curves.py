"""How what was unlearned comes back along an attack: steps of relearning, shares, layers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register

from ._figures import curves
from ._figures.curves import CurvePanels
from ._figures.drawing import Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.reporting.document import Findings

BANDS = "Pale: 95% intervals over items (and seeds, where there are several), point by point."


@register
@dataclass(frozen=True)
class AttackCurves(StyledFigure[CurvePanels]):
    """A forgetting metric along each attack, the original and the retrained model beside."""

    name: ClassVar[str] = "attack-curves"
    absent = "No curves of attacks: no model was attacked at two positions, such as steps."

    def panels(self, findings: "Findings") -> CurvePanels:
        """Per group a panel for each attack whose points are a curve."""
        return curves.curve_panels(findings, budgets=False)

    def sentences(self, findings: "Findings", panels: CurvePanels) -> Iterator[str]:  # noqa: ARG002
        yield (
            f"Forgetting metrics along attacks on {', '.join(panels)}: one line per method; dotted "
            "the attacked model before unlearning, dashed the attacked retrained model. What the "
            "dashed line gains, the attack teaches anew; what a method is above it was left."
        )
        yield BANDS if curves.shows_bands(panels) else ""

    def draw_panels(self, panels: CurvePanels, marks: dict[str, Mark]) -> "Drawing":
        """The panels of each group side by side."""
        return curves.draw(panels, marks)
