"""Pools of made-up models, with and without the knowledge, and a run with the original."""

from collections.abc import Mapping
from dataclasses import replace

import attack_cases
import numpy as np
from derived_cases import measured, model

from unlearnbench.analysis.meta.making import parts_of_table
from unlearnbench.analysis.meta.measured import Measured, Member, measure
from unlearnbench.analysis.meta.table import MetaTable
from unlearnbench.results.record import Result
from unlearnbench.results.score import Metric

LENGTH = Metric("forget_length", "Answer length (words)", False, in_score=False, documents="rows",
                task="replies")  # fmt: skip


def of_benchmark(label: str, seed: int, known: float, role: str = "method", **changes) -> Result:
    """A model's answers, memberships and how long its replies are, which says nothing."""
    values = model(seed, known)
    rng = np.random.default_rng(1000 + seed)
    values["replies"]["forget_length"] = rng.normal(20 + rng.normal(0, 2), 3, 60)
    made = measured(label, values, role=role, **changes)
    metrics = [_turned(metric) for metric in made.metrics]
    weights = made.model.model_copy(update={"weights_sha256": label.encode().hex().ljust(64, "0")})
    return made.model_copy(update={"metrics": metrics, "model": weights})


def _turned(metric: Metric) -> Metric:
    """The metric with the direction and the documents that its task gives it."""
    if metric.name == LENGTH.name:
        return LENGTH
    forgets = metric.name.startswith("forget_") and not metric.name.endswith("fluent")
    is_known = "wrong" not in metric.name and metric.task != "membership"
    unit = "%" if "probability" in metric.name else ""
    return replace(
        metric,
        higher_is_better=forgets != is_known,
        unit=unit,
        scale=100.0 if unit else 1.0,
        documents="rows" if metric.name.startswith(("forget_", "holdout_")) else "sets",
    )


def references() -> list[Result]:
    """The original and the retrained model."""
    return [
        of_benchmark("before", 1, 0.9, "before"),
        of_benchmark("retrained", 2, 0.0, "retrained"),
    ]


def pools(n: int = 6) -> list[Member]:
    """So many models of three kinds on each side, the reference itself among those without."""
    members = []
    for at in range(n):
        for pool, known in (("with", 0.7 + 0.03 * at), ("without", 0.02 * at)):
            name = f"{pool}-{at}"
            own = of_benchmark(name, 100 + at + 50 * (pool == "with"), known, "before")
            # Every member is the model before unlearning of a group of its own.
            members.append(Member(name, pool, f"kind {at % 3}", [_alone(own, name)]))  # type: ignore
    retrained = references()[1].model_copy(update={"role": "before"})
    return [*members, Member("again", "without", "kind 0", [_alone(retrained, "again")])]


def _alone(result: Result, group: str) -> Result:
    return result.model_copy(update={"group": group, "key": f"{group} {result.key}"})


def of_pools() -> Measured:
    """Pools and references, measured."""
    return measure(pools(), references())


def under_attack(levels: Mapping[str, float]) -> tuple[list[Member], list[Result]]:
    """Pools and a run of rows with attacks: MA by model."""
    members = [
        Member(f"{pool}-{at}", pool, "rows", [_rows(f"{pool}-{at}", level + at / 100)])  # type: ignore
        for pool, level in (("with", 0.9), ("without", 0.5))
        for at in range(4)
    ]
    base = [attack_cases.model(label) for label in levels]
    own = [attack_cases.unattacked(each) for each in base]
    attacked = [
        of(each) for each in base for of in (attack_cases.relearned, attack_cases.quantised)
    ]
    return members, [*own, *attacked]


def _rows(name: str, level: float) -> Result:
    made = attack_cases.model(attack_cases.BEFORE, group=name)
    values = {row: level for row in made.forget_set.doc_ids}
    scores = {"forgetting": attack_cases.scores(values)}
    return made.model_copy(update={"scores": scores, "key": f"{name} {made.key}"})


def with_entropy_of_forgetting(measured: Measured) -> Measured:
    """As if the record of entropy said that it judges forgetting."""
    about = {**measured.about, ("forgetting", "entropy"): "forgotten"}
    return replace(measured, about=about)  # type: ignore[arg-type]


def table(measured: Measured, **changes) -> MetaTable:
    """The table of what was measured."""
    fields = {
        "name": "nano", "title": "Metrics here", "command": "unlearnbench meta nano",
        "worlds": ["nano"], "benchmark": None, "runs": ["0"], "n_rows": [24], "limit": None,
        "original": "nano-neo", "retrained": "nano-retrained", "software": {}, "harness": "",
    }  # fmt: skip
    return MetaTable(**{**fields, **parts_of_table(measured), **changes})
