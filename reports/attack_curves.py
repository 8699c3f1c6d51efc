"""How what was unlearned comes back along an attack: steps of relearning, shares, layers."""

from dataclasses import dataclass
from typing import ClassVar

from unlearnbench.registry import register

from ._figures.curves import CurvesFigure


@register
@dataclass(frozen=True)
class AttackCurves(CurvesFigure):
    """A forgetting metric along each attack, the original and the retrained model beside."""

    name: ClassVar[str] = "attack-curves"
    absent = "No curves of attacks: no model was attacked at two positions, such as steps."
    over_tries = False

    def what_is_shown(self, groups: str) -> str:
        return (
            f"Forgetting metrics along attacks on {groups}: one line per method; dotted the "
            "attacked model before unlearning, dashed the attacked retrained model. What the "
            "dashed line gains, the attack teaches anew; what a method is above it was left."
        )
