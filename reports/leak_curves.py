"""How likely any of k tries brings back what was unlearned."""

from dataclasses import dataclass
from typing import ClassVar

from unlearnbench.registry import register

from ._figures.curves import CurvesFigure


@register
@dataclass(frozen=True)
class LeakCurves(CurvesFigure):
    """What leaks in k tries, over k, the original and the retrained model beside."""

    name: ClassVar[str] = "leak-curves"
    absent = "No curves of leaks: no model was asked several times."
    over_tries = True

    def what_is_shown(self, groups: str) -> str:
        return (
            f"What leaks in k tries (log axis) from {groups}: one line per method; dotted the "
            "model before unlearning, dashed the retrained model, which leaks only by chance."
        )
