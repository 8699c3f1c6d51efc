"""Scores derived from several tasks, or from several seeds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unlearnbench.analysis.derived import aggregates, resampling
from unlearnbench.analysis.derived.from_attacks import FORGET
from unlearnbench.analysis.derived.klom import klom
from unlearnbench.analysis.derived.measured import (
    ANSWERS,
    CHOICES,
    DISTANCE,
    REPLIES,
    Measured,
    same_items,
)
from unlearnbench.analysis.derived.resampling import Estimate, combined, from_ends
from unlearnbench.analysis.derived.row import Row
from unlearnbench.analysis.derived.score import RETRAINED

_MARGINS = ((ANSWERS, f"{FORGET}_margin"), (DISTANCE, "margin"))
_SEMEVAL_TASKS = (1, 2, 3)


def overall(row: Row) -> None:
    """HM of memorisation, privacy and relative utility."""
    names = ("memorisation", "privacy", "relative_utility")
    if all(name in row.estimates for name in names):
        parts = [row.estimates[name] for name in names]
        row.put_estimate("overall", from_ends(aggregates.overall, *parts), RETRAINED)


def semeval(row: Row) -> None:
    """The task aggregate of twelve, the MIA score, and their mean with MMLU."""
    if "auc_loss" in row.estimates:
        row.estimates["membership_score"] = _membership_score(row.estimates["auc_loss"])
    parts: dict[str, list[Estimate]] = {"forget": [], "retain": []}
    for role, of_role in parts.items():
        for task in _SEMEVAL_TASKS:
            for kind, ending in (("regurgitation", "rouge_l_recall"), ("knowledge", "exact_match")):
                split = f"{role}_task{task}_{kind}"
                if not row.own.has(REPLIES, f"{split}_{ending}"):
                    return
                of_role.append(row.own.mean(REPLIES, split, ending))
    row.put_estimate(
        "task_aggregate",
        combined(
            lambda *twelve: aggregates.task_aggregate(twelve[:6], twelve[6:]),
            *parts["forget"],
            *parts["retain"],
        ),
    )
    if "membership_score" not in row.estimates:
        return
    row.put_estimate("membership_score", row.estimates["membership_score"])
    if row.own.has(CHOICES, "mmlu_accuracy"):
        mmlu = row.own.mean(CHOICES, "mmlu", "accuracy")
        three = (row.estimates["task_aggregate"], row.estimates["membership_score"], mmlu)
        row.put_estimate("semeval_score", from_ends(aggregates.semeval_score, *three))


def _membership_score(area: Estimate) -> Estimate:
    score = combined(aggregates.membership_score, area)
    if area.ends is None:
        return score
    of_ends = [aggregates.membership_score(end) for end in area.ends]
    best = 1.0 if area.ends[0] <= 0.5 <= area.ends[1] else max(of_ends)
    return replace(score, ends=(min(of_ends), best))


def margins_in(measured: Measured) -> tuple[str, str] | None:
    """Task and metric of KLOM's margins: an answer's, or a row's; None if none were measured."""
    return next((place for place in _MARGINS if measured.has(*place)), None)


def margins_apart(row: Row, own: Sequence[Measured], retrained: Sequence[Measured]) -> None:
    """KLOM between the seeds of a row and retrained models: mean and 95th percentile of items."""
    if (place := margins_in(row.own)) is None:
        return
    own, retrained = ([m for m in models if m.has(*place)] for models in (own, retrained))
    if min(len(own), len(retrained)) < 2:
        return
    first = row.own.known(*place)
    items = tuple(sorted(first))
    margins = []
    for models in (own, retrained):
        values = [m.known(*place) for m in models]
        margins.append([same_items(each, first, "KLOM")[0] for each in values])
    of_items = klom(margins[0], margins[1])
    weights = resampling.weights_of(FORGET, items)
    draws = None if weights is None else weights @ of_items
    n = len(items)
    mean = Estimate(float(of_items.mean()), draws, n, n_least=n)
    row.n_margins = len(own), len(retrained)
    row.put_estimate("klom_mean", mean, RETRAINED)
    row.put("klom_95", float(np.percentile(of_items, 95)), n, None, RETRAINED)
