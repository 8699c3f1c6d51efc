"""Results of older versions: every release reads what every release has written.

One pure function per version of the files' layout; and, for `unlearnbench upgrade`, the releases
whose numbers today's code would measure again to the last digit.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from unlearnbench.results.record import SCHEMA_VERSION, Result, key_of

Json = dict[str, Any]


def upgraded(raw: Json) -> Json:
    """The JSON of a result of an older version as the current one writes it, in one piece.

    Key and identity stay.  Whatever is no result raises an error of its shape.
    """
    while raw["schema_version"] < SCHEMA_VERSION:
        raw = STEPS[raw["schema_version"]](raw)
    return raw


def from_version_1(raw: Json) -> Json:
    """Release 0.1 did not say how scores are made and of what; that is inferred from their values.

    Continuations stood among the outputs of the forgetting task's BERTScore.
    """
    scores: dict[str, dict[str, Any]] = {}
    for task, by_metric in raw["scores"].items():
        scores[task] = {}
        for name, score in by_metric.items():
            aggregation, parts = infer_aggregation(name, score, by_metric)
            scores[task][name] = {"aggregation": aggregation, "parts": list(parts), **score}
    bertscore = scores.get("forgetting", {}).get("bertscore_f1", {})
    return {
        **raw,
        "schema_version": 2,
        "model": {**raw["model"], "is_synthetic": raw["model"]["name"].startswith("nano-")},
        "metrics": [{**m, "documents": _DOCUMENTS.get(m["task"], "sets")} for m in raw["metrics"]],
        "scores": scores,
        "continuations": bertscore.pop("outputs", {}),
    }


STEPS: dict[int, Callable[[Json], Json]] = {1: from_version_1}

_AGREES = 1e-6  # relative: how close a value must be to what it is said to be made of
# Release 0.1's tasks whose documents are no questions of evaluation sets.
_DOCUMENTS = {"forgetting": "rows", "judge": "rows", "perplexity": "texts"}


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


def _mean(score: Mapping[str, Any]) -> float:
    documents = score["documents"]
    return float(sum(documents.values()) / len(documents))


def _agree(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=_AGREES, abs_tol=1e-15)


# ---- whose results need not be measured again

#: Digests of the harness and the plugins, as results of a release name them in their identity:
#: releases whose measurements are today's, number for number.  Whoever changes what is measured
#: empties the table, or drops the plugin that changed.
RELEASED: dict[str, dict[str, str]] = {
    # 0.1.0
    "f74a27ea60de992f3ca5a3cc1cfdeb36f83aa7425e1284368fac0e1f87ce1ff1": {
        "classification": "814173201cae0bf93a64e586e235d84134276460b413240bbaeb2aeea99f43a7",
        "dialogue": "350ab4e04a4e6d990f89651547282833f7c1040373ddb596862672afbd688c5b",
        "dpo": "2f744abf219805c1d90d1eca72d131e2e4480585e43441389ef985cc9de425ae",
        "forgetting": "c8c08a3ee8cc635f9cecd078dcdd177e45efc734865fd2e5c78f12da6f4a0900",
        "icu": "c765ce800d5619ba6e02d98d415e6bf0648a98b2f1931575d09dcbe8490a1dfd",
        "kl": "c8c8541af2f8530288faf3d38f0279c22d722b853d6a352a8cef4fee4f1b3a71",
        "kumpr": "c755dcd3853759b7bf7e56ed0c3f9ac91afb873f717bbe37b814b9a3c6e86dd9",
        "llmu": "fd9f373a3b99eda279edc93ab621e5b3e015aa4f1a3a75d0823527852e86be44",
        "perplexity": "8af8c5d0a15ed9065a2af7f5fec763f8bf985dc360308a0c0eb0ed33a1285c74",
    },
}


def with_todays_software(result: Result) -> Result | None:
    """The result under the key that today's code has for it; None if that might measure another.

    Packages stay those it was measured with.
    """
    import unlearnbench
    from unlearnbench import registry
    from unlearnbench.files.software import harness_sha256, source_sha256

    match result.identity.get("software"):
        case {"harness": str(harness), "plugins": dict(plugins), "packages": dict(packages)}:
            is_same = plugins.items() <= RELEASED.get(harness, {}).items()
        case _:
            return None
    if harness not in RELEASED or not is_same:
        return None
    installed = {**registry.tasks(), **registry.methods()}
    todays = {
        "packages": {**packages, "unlearnbench": unlearnbench.__version__},
        "harness": harness_sha256(),
        "plugins": {name: source_sha256(installed[name]) for name in plugins},
    }
    identity = {**result.identity, "software": todays}
    return result.model_copy(update={"identity": identity, "key": key_of(identity)})
