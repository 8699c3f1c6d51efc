"""What all trials of tuning came to: forgetting against utility, with their Pareto front."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnbench.registry import register

from ._figures import drawing
from ._figures.drawing import FOREGROUND, Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.budgets.trials import BudgetPanel
    from unlearnbench.reporting.document import Findings

Panels = dict[str, tuple["BudgetPanel", ...]]
_FRONT: dict[str, Any] = {"linewidth": 3.0, "alpha": 0.25}


@register
@dataclass(frozen=True)
class BudgetFront(StyledFigure[Panels]):
    """Every trial's forgetting against its utility, with the front over all of them."""

    name: ClassVar[str] = "budget-front"
    absent = "No front over trials: no trials with a measure of forgetting and one of utility."

    def panels(self, findings: "Findings") -> Panels:
        """One panel for each group of trials that has a plane."""
        return {p.title: (p,) for p in findings.budgets if p.hypervolume is not None}

    def sentences(self, findings: "Findings", panels: Panels) -> Iterator[str]:  # noqa: ARG002
        """What is shown."""
        yield f"All trials, a mark each: {', '.join(panels)}."
        yield "Pale line: the Pareto front over all trials of all methods; large: those on it."
        for panel in chain(*panels.values()):
            areas = (f"{own.method} {own.hypervolume:.3f}" for own in panel.methods
                     if own.hypervolume is not None)  # fmt: skip
            yield f"Hyper-volume: all {panel.hypervolume:.3f}, {', '.join(areas)}."

    def draw_panels(self, panels: Panels, marks: dict[str, Mark]) -> "Drawing":  # noqa: ARG002
        """The panels under each other."""
        names = [own.method for panel in chain(*panels.values()) for own in panel.methods]
        looks = drawing.marks(names)
        picture, by_group = drawing.lay_out(panels, 1, 2.6, 0.35 + 0.16 * (1 + len(looks) // 3))
        for panel, axes in chain(*by_group):
            _draw_panel(axes, panel, looks)
        handles = {name: drawing.line(color=m.colour, marker=m.marker, linestyle="", markersize=4)
                   for name, m in looks.items()}  # fmt: skip
        handles["Pareto front"] = drawing.line(**_FRONT)
        drawing.legend(picture, handles)
        return picture


def _draw_panel(axes: "Axes", panel: "BudgetPanel", marks: Mapping[str, Mark]) -> None:
    assert panel.plane is not None
    across, up = panel.plane.forgetting, panel.plane.utility
    front = []
    for own in panel.methods:
        mark = marks[own.method]
        for trial in own.trials:
            if trial.point is None:
                continue
            x, y = trial.point[0] * across.scale, trial.point[1] * up.scale
            front += [(x, y)] if trial.is_on_front else []
            axes.plot(x, y, mark.marker, color=mark.colour, markeredgecolor="white",
                      markeredgewidth=0.4, markersize=6 if trial.is_on_front else 3.5,
                      zorder=3 if trial.is_on_front else 2)  # fmt: skip
    # The front's steps: what lies under them loses.
    goes_right = panel.plane.higher[0]
    points = sorted(set(front), reverse=goes_right)
    axes.step([x for x, _ in points], [y for _, y in points], where="post", color=FOREGROUND,
              zorder=1, **_FRONT)  # fmt: skip
    axes.set_xlabel(f"{across.label} {across.arrow}")
    axes.set_ylabel(f"{up.label} {up.arrow}")
