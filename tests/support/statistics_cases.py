"""Builders of outcomes and results that the tests of the statistics share."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from golden_results import result as golden_result
from numpy.typing import ArrayLike

from unlearnbench.analysis.statistics.bootstrap import Interval, intervals
from unlearnbench.analysis.statistics.outcomes import Outcomes, RunKey, Stratum
from unlearnbench.analysis.table import Column
from unlearnbench.results.record import ForgetSetRecord, Result
from unlearnbench.results.score import Metric, Score, table_i

METRICS = tuple(
    replace(metric, task=task)
    for metric, task in zip(
        table_i("ma", "cls_avg", "pile_ppl"),
        ("forgetting", "classification", "perplexity"),
        strict=True,
    )
)
COLUMNS = tuple(Column(**vars(metric), metric=metric.name) for metric in METRICS)
MA, AVERAGE, PILE = COLUMNS


def outcomes(strata: Sequence[ArrayLike], is_exp: bool = False) -> Outcomes:
    """A cell of strata [R, D] that weigh alike, each with its own set and runs."""
    made = []
    for at, given in enumerate(strata):
        values = np.atleast_2d(np.asarray(given, dtype=float))
        n_runs, n_documents = values.shape
        names = tuple(f"{i:05d}" for i in range(n_documents))
        runs = tuple(RunKey("set", seed) for seed in range(n_runs))
        weights = np.full(n_runs, 1.0 / (n_runs * len(strata)))
        made.append(Stratum(str(at), names, runs, values, weights))
    return Outcomes(tuple(made), is_exp)


def score(documents: Mapping[str, float], **parts: Any) -> Score:
    """A score with these documents, whose mean it is unless the parts say otherwise."""
    mean = float(np.mean(list(documents.values()))) if documents else 0.0
    fields = {"value": mean, "n": len(documents), "documents": dict(documents), **parts}
    return Score(higher_is_better=True, **fields)


def interval(outcomes: Outcomes, **options: Any) -> Interval | None:
    """The interval of one cell."""
    return intervals([outcomes], **options)[0]


def numbered(values: ArrayLike, start: int = 0) -> dict[str, float]:
    """Documents by number."""
    return {str(start + i): float(v) for i, v in enumerate(np.asarray(values))}


def result(
    label: str,
    run: str = "0",
    *,
    ma: ArrayLike | None = None,
    sets: Mapping[str, ArrayLike] | None = None,
    nll: ArrayLike | None = None,
    **changes: Any,
) -> Result:
    """A result whose metrics have these outcomes by document."""
    scores: dict[str, dict[str, Score]] = {}
    if ma is not None:
        scores["forgetting"] = {"ma": score(numbered(ma))}
    if sets is not None:
        parts = {name: score(numbered(values)) for name, values in sets.items()}
        mean = float(np.mean([part.value for part in parts.values()]))
        scores["classification"] = {
            "cls_avg": score({}, value=mean, aggregation="mean_of_scores", parts=list(parts)),
            **parts,
        }
    if nll is not None:
        value = float(np.exp(np.mean(nll)))
        of_text = score(numbered(nll), value=value, aggregation="exp_mean")
        scores["perplexity"] = {"pile_ppl": of_text}
    sha = hashlib.sha256(run.encode()).hexdigest()
    given = ForgetSetRecord(name="x", run=run, content_sha256=sha, doc_ids=["0"])
    fields = {"metrics": _records(scores), "scores": scores, "forget_set": given, **changes}
    made: Result = golden_result(label, run=run, **fields_of(changes))
    key = hashlib.sha256(repr((label, run, made.seed, made.group)).encode()).hexdigest()
    return made.model_copy(update={**fields, "key": key})


def fields_of(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that the golden builder must know: they shape other fields."""
    return {name: changes[name] for name in ("role", "seed", "group") if name in changes}


def _records(scores: Mapping[str, Mapping[str, Score]]) -> list[Metric]:
    return [metric for metric in METRICS if metric.name in scores.get(metric.task, {})]
