"""What results of version 1 leave unsaid about their scores, inferred from their values.

Version 1 is the layout of release 0.1.  Pure functions of a result file's JSON.
"""

import math
from collections.abc import Mapping
from typing import Any

_AGREES = 1e-6  # relative: how close a value must be to what it is said to be made of
# Release 0.1's tasks whose documents are no questions of evaluation sets.
_DOCUMENTS = {"forgetting": "rows", "judge": "rows", "perplexity": "texts"}


def complete_measurements(result: dict[str, Any]) -> dict[str, Any]:
    """The result with how its scores are made, its metrics' documents, and its continuations.

    These stood among the outputs of the forgetting task's BERTScore.  A result that has
    continuations of its own is returned as it is.
    """
    if "continuations" in result:
        return result
    scores = {task: _complete_scores(by_metric) for task, by_metric in result["scores"].items()}
    continuations: dict[str, str] = {}
    if bertscore := scores.get("forgetting", {}).get("bertscore_f1"):
        continuations, bertscore["outputs"] = bertscore.get("outputs", {}), {}
    metrics = [{"documents": _DOCUMENTS.get(m["task"], "sets"), **m} for m in result["metrics"]]
    return {**result, "metrics": metrics, "scores": scores, "continuations": continuations}


def infer_aggregation(
    metric_name: str, score: Mapping[str, Any], siblings: Mapping[str, Mapping[str, Any]]
) -> tuple[str, tuple[str, ...]]:
    """How a task's score is made of its documents or its `siblings`: (aggregation, parts).

    `siblings` are the task's scores by metric name, this one among them or not.  A score that
    is none of the three, as far as its values tell, is called a mean; statistics leave it out,
    as its documents do not give its value.
    """
    if score.get("documents"):
        mean = _mean(score)
        exponential = math.exp(mean) if mean < 709 else math.inf
        is_exp = not _agree(score["value"], mean) and _agree(score["value"], exponential)
        return ("exp_mean" if is_exp else "mean"), ()
    parts = {n: s for n, s in siblings.items() if n != metric_name and s.get("documents")}
    if not parts or not all(_agree(part["value"], _mean(part)) for part in parts.values()):
        return "mean", ()
    average = sum(part["value"] for part in parts.values()) / len(parts)
    return ("mean_of_scores", tuple(parts)) if _agree(score["value"], average) else ("mean", ())


def _complete_scores(by_metric: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    completed = {}
    for name, score in by_metric.items():
        aggregation, parts = infer_aggregation(name, score, by_metric)
        completed[name] = {"aggregation": aggregation, "parts": list(parts), **score}
    return completed


def _mean(score: Mapping[str, Any]) -> float:
    documents = score["documents"]
    return float(sum(documents.values()) / len(documents))


def _agree(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=_AGREES, abs_tol=1e-15)
