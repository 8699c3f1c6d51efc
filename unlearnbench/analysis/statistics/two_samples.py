"""What scores of two samples could show: the distance of two distributions, and an AUC."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from unlearnbench.analysis.derived.from_attacks import FORGET, HOLDOUT
from unlearnbench.analysis.derived.measured import MEMBERSHIP
from unlearnbench.analysis.derived.score import TASK
from unlearnbench.analysis.statistics import power
from unlearnbench.analysis.statistics.outcomes import ByKey
from unlearnbench.analysis.table import Group

DISTANCE = "ks_distance"  # the derived metric
RATES = (0.01, 0.001)  # FPRs at which TPRs are given


@dataclass(frozen=True, order=True)
class TwoSamples:
    """Two samples' sizes: items of two models, or forget and holdout texts of one."""

    kind: Literal["distance", "area"]
    n: int
    m: int

    @property
    def label(self) -> str:
        """As printed."""
        return "KS distance (D)" if self.kind == "distance" else "AUC of membership"

    def questions(self) -> Iterator[tuple[str, float]]:
        """What can be asked of it, and the smallest answer that is shown; NaN: none is."""
        n, m = self.n, self.m
        if self.kind == "distance":
            yield "D measured that is significant", power.ks_critical(n, m)
            yield "true D, of a shift", power.ks_distance(n, m)
            yield "true D, at worst", power.ks_distance_at_worst(n, m)
            return
        yield "AUC's distance from 0.5", power.auc_from_chance(n, m)
        yield "its distance from another model's 0.5", power.auc_change(n, m)
        for rate in RATES:
            shown = power.tpr_above(n, rate) if m * rate >= 1 else math.nan
            yield f"TPR above an FPR of {rate:.1%}", shown


def two_samples_of(group: Group, by_key: ByKey) -> list[TwoSamples]:
    """Those that the group's results have scores of, each size once."""
    found = set()
    for key in (run.key for row in group.rows for run in row.runs):
        scores = by_key[key].scores
        if DISTANCE in scores.get(TASK, {}):
            n = scores[TASK][DISTANCE].n
            found.add(TwoSamples("distance", n, n))
        of_texts = scores.get(MEMBERSHIP, {})
        sizes = [
            {score.n for name, score in of_texts.items() if name.startswith(f"{split}_")}
            for split in (FORGET, HOLDOUT)
        ]
        if all(sizes):
            found.add(TwoSamples("area", *map(min, sizes)))
    return sorted(found)
