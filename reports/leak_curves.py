"""How likely any of k tries brings back what was unlearned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register

from ._figures import curves
from ._figures.curves import CurvePanels
from ._figures.drawing import Mark, StyledFigure
from .attack_curves import BANDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.reporting.document import Findings


@register
@dataclass(frozen=True)
class LeakCurves(StyledFigure[CurvePanels]):
    """What leaks in k tries, over k, the original and the retrained model beside."""

    name: ClassVar[str] = "leak-curves"
    absent = "No curves of leaks: no model was asked several times."

    def panels(self, findings: "Findings") -> CurvePanels:
        """Per group a panel for each attack that counts what leaks in so many tries."""
        return curves.curve_panels(findings, budgets=True)

    def sentences(self, findings: "Findings", panels: CurvePanels) -> Iterator[str]:  # noqa: ARG002
        yield (
            f"What leaks in k tries (log axis) from {', '.join(panels)}: one line per method; "
            "dotted the model before unlearning, dashed the retrained model, which leaks only by "
            "chance."
        )
        yield BANDS if curves.shows_bands(panels) else ""

    def draw_panels(self, panels: CurvePanels, marks: dict[str, Mark]) -> "Drawing":
        """The panels of each group side by side."""
        return curves.draw(panels, marks)
