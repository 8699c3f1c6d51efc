"""From what was measured of pools of models to the table of their metrics' tests."""

import math
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np

from unlearnbench.analysis.meta.faithfulness import Side, faithfulness
from unlearnbench.analysis.meta.measured import Measured, Model, Place, goodness, knowledge
from unlearnbench.analysis.meta.redundancy import redundancy
from unlearnbench.analysis.meta.robustness import aggregate, robustness
from unlearnbench.analysis.meta.table import RedundancyRecord, TestedMetric, TestedModel
from unlearnbench.results.score import Metric

POOLS: Final[tuple[Literal["with"], Literal["without"]]] = ("with", "without")


def parts_of_table(measured: Measured) -> dict[str, Any]:
    """Models, metrics, what was left out, and redundancy: fields of `MetaTable`."""
    tested: list[TestedMetric] = []
    left_out: dict[str, str] = {}
    for place, metric in measured.metrics.items():
        if reason := _why_not(measured, place):
            left_out[".".join(place)] = reason
        else:
            tested.append(_tested(measured, place, metric))
    return {
        "models": [_model(model) for model in measured.models],
        "metrics": tested,
        "left_out": left_out,
        "redundancy": _redundancy(measured),
    }


def _why_not(measured: Measured, place: Place) -> str:
    """Why a metric cannot be tested; empty if it can."""
    metric = measured.metrics[place]
    if measured.about[place] == "neither":
        return "it is of texts that no model saw"
    if metric.higher_is_better is None:
        return "it has no direction: its best value lies between"
    for pool in POOLS:
        models = measured.of_pool(pool)
        if not any(place in model.values for model in models):
            return f"it was measured of no model {pool} the knowledge"
    return ""


def _sides(measured: Measured, place: Place) -> tuple[Side, Side]:
    """The pools' knowledge by a metric; of what is kept how good they are: knowing is better."""
    metric, about = measured.metrics[place], measured.about[place]
    turned = knowledge if about == "forgotten" else goodness
    sides = []
    for pool in POOLS:
        models = [m for m in measured.of_pool(pool) if place in m.values]
        values = np.array([turned(metric, model.values[place]) for model in models])
        sides.append(Side(values, tuple(model.kind for model in models)))
    return sides[0], sides[1]


def _tested(measured: Measured, place: Place, metric: Metric) -> TestedMetric:
    known, unknown = _sides(measured, place)
    found = faithfulness(known, unknown)
    robust: dict[str, Any] = {}
    if measured.about[place] == "forgotten":
        of = robustness(measured, place, found.threshold)
        robust = {
            "relearning": of.relearning,
            "quantisation": of.quantisation,
            "aggregate": of.aggregate,
            "overall": aggregate(found.area, of.aggregate),
            "symmetric_relearning": of.symmetric_relearning,
            "symmetric_quantisation": of.symmetric_quantisation,
            "symmetric_aggregate": of.symmetric_aggregate,
            "n_unlearned": of.n,
        }
    turn_back = knowledge if measured.about[place] == "forgotten" else goodness
    return TestedMetric(
        task=place[0],
        name=place[1],
        label=metric.label,
        scale=metric.scale,
        about="forgotten" if measured.about[place] == "forgotten" else "kept",
        higher_is_better=metric.higher_is_better,
        n_with=len(known),
        n_without=len(unknown),
        faithfulness=found.area,
        low=found.low,
        high=found.high,
        threshold=turn_back(metric, found.threshold),  # either turn is its own inverse
        accuracy=found.accuracy,
        kinds_with=_by_kind(known, lambda side: faithfulness(side, unknown).area),
        kinds_without=_by_kind(unknown, lambda side: faithfulness(known, side).area),
        **robust,
    )


def _by_kind(side: Side, area: Callable[[Side], float]) -> dict[str, float]:
    return {kind: area(side.of_kind(kind)) for kind in dict.fromkeys(side.kinds)}


def _model(model: Model) -> TestedModel:
    return TestedModel(
        name=model.name,
        pool=model.pool,
        kind=model.kind,
        weights_sha256=model.weights_sha256 if model.pool != "unlearned" else "",
        values={".".join(place): value for place, value in model.values.items()},
    )


def _redundancy(measured: Measured) -> RedundancyRecord:
    """Over all models, each of the pools' weights once, and of the metrics that tell some apart."""
    models = _distinct(measured)
    columns: dict[Place, list[float]] = {}
    for place, metric in measured.metrics.items():
        if measured.about[place] == "neither":
            continue
        values = [
            goodness(metric, model.values[place]) if place in model.values else math.nan
            for model in models
        ]
        if len({value for value in values if math.isfinite(value)}) > 1:
            columns[place] = values
    names = [".".join(place) for place in columns]
    labels = [measured.metrics[place].label for place in columns]
    found = redundancy(np.array(list(columns.values())).reshape(len(columns), len(models)).T)
    return RedundancyRecord(
        metrics=[names[at] for at in found.order],
        labels=[labels[at] for at in found.order],
        correlations=[
            [None if math.isnan(rho) else round(float(rho), 4) for rho in row]
            for row in found.correlations
        ],
        groups=[[names[at] for at in group] for group in found.groups],
        n_models=len(models),
    )


def _distinct(measured: Measured) -> list[Model]:
    first: dict[str, Model] = {}
    for model in measured.models:
        own = model.name if model.pool == "unlearned" else model.weights_sha256
        first.setdefault(own, model)
    return list(first.values())
