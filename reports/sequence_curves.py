"""Requests one after the other: each metric of all rows so far, and utility, step by step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.sequences import AT_ONCE, IN_TURN, Step, sequences_of
from unlearnbench.registry import register

from ._figures import drawing
from ._figures.curves import Curve, CurvePanel, CurvePanels, draw
from ._figures.drawing import Mark, StyledFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Column
    from unlearnbench.reporting.document import Findings


@register
@dataclass(frozen=True)
class SequenceCurves(StyledFigure[CurvePanels]):
    """Forgetting of all rows requested so far, and utility, over the requests."""

    name: ClassVar[str] = "sequence-curves"
    absent = "No curves of a sequence: no request was unlearned after another (run --sequence)."

    def panels(self, findings: "Findings") -> CurvePanels:
        """Per model a panel for each metric that counts in the scores."""
        panels: CurvePanels = {}
        for name, steps in sequences_of(findings.table, findings.by_key).items():
            columns = [c for c in findings.table.metric_columns if c.in_score or c.leads]
            drawn = [_panel(steps, column) for column in columns]
            panels[name] = tuple(panel for panel in drawn if panel.curves)
        return panels

    def sentences(self, findings: "Findings", panels: CurvePanels) -> Iterator[str]:  # noqa: ARG002
        """What is shown."""
        yield (
            f"After each request to forget: {', '.join(panels)}. A method's own line is of "
            f"requests {IN_TURN}; '{AT_ONCE}' of all rows so far unlearned from the original model."
        )

    def draw_panels(self, panels: CurvePanels, marks: dict[str, Mark]) -> "Drawing":  # noqa: ARG002
        """The panels of each model side by side; a line is a row in one of two ways."""
        names = (c.name for own in panels.values() for p in own for c in p.curves
                 if c.role == "method")  # fmt: skip
        return draw(panels, drawing.marks(names))


def _panel(steps: Sequence[Step], column: "Column") -> CurvePanel:
    lines: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        for how in (step.how,) if step.how or step.row.role != "method" else (IN_TURN, AT_ONCE):
            if step.row.mean(column.name) is not None:
                lines.setdefault((step.row.label, how), []).append(step)
    curves = tuple(_curve(label, how, own, column) for (label, how), own in lines.items()
                   if len(own) > 1)  # fmt: skip
    return CurvePanel(column.label, "requests so far", f"{column.label} {column.arrow}", curves)


def _curve(label: str, how: str, steps: Sequence[Step], column: "Column") -> Curve:
    cells = [step.row.cells[column.name] for step in steps]
    return Curve(
        f"{label}, {AT_ONCE}" if how == AT_ONCE else label,
        steps[0].row.role,
        tuple(float(len(step.requests)) for step in steps),
        tuple(cell.mean for cell in cells),
        tuple(cell.low for cell in cells),
        tuple(cell.high for cell in cells),
    )
