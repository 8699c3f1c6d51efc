"""Results of a made-up benchmark with values by item, from which scores can be derived."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from golden_results import result as golden_result

from unlearnbench.results.record import ForgetSetRecord, Result, key_of
from unlearnbench.results.score import Metric, Score

Values = Mapping[str, Mapping[str, Any]]  # task -> metric -> values by item, or one list of them
FORGET, HOLDOUT, RETAIN = 60, 50, 40
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus")


def measured(
    label: str,
    values: Values,
    *,
    role: str = "method",
    run: str = "0",
    seed: int = 0,
    tasks: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Result:
    """A result with these values by item; a list is of the items 0, 1, 2 and so on."""
    scores = {
        task: {name: _score(of) for name, of in by_metric.items()}
        for task, by_metric in values.items()
    }
    metrics = [
        Metric(name, name, True, in_score=False, task=task)
        for task, by_metric in values.items()
        for name in by_metric
    ]
    identity = {
        "row": [label, role, run, seed, changes.get("started_at", "")],
        "tasks": tasks or {"limit": None, "settings": {}},
    }
    sha = hashlib.sha256(run.encode()).hexdigest()
    forget_set = ForgetSetRecord(name="x", run=run, content_sha256=sha, doc_ids=["0"])
    made: Result = golden_result(label, role=role, run=run, seed=seed, identity=identity, **changes)
    update = {
        "metrics": metrics, "scores": scores, "forget_set": forget_set, "key": key_of(identity)
    }  # fmt: skip
    return made.model_copy(update=update)


def _score(values: Any) -> Score:
    items = (
        values if isinstance(values, Mapping) else {str(i): float(v) for i, v in enumerate(values)}
    )
    return Score.of(items, higher_is_better=True)


def model(seed: int, known: float = 0.0) -> dict[str, dict[str, np.ndarray]]:
    """What a model is measured to be that knows the forget set so well, 0 to 1."""
    rng = np.random.default_rng(seed)
    hard = np.random.default_rng(1234)  # what the items are like, for every model

    def share(n: int, middle: float) -> np.ndarray:
        return np.clip(middle + 0.1 * hard.normal(size=n) + 0.02 * rng.normal(size=n), 0.01, 0.99)

    answers = {
        "forget_probability": share(FORGET, 0.1 + 0.8 * known),
        "forget_paraphrase_probability": share(FORGET, 0.2 + 0.4 * known),
        "forget_wrong_probability": share(FORGET, 0.25 - 0.1 * known),
        "forget_extraction_strength": share(FORGET, 0.1 + 0.6 * known),
        "forget_exact_memorisation": share(FORGET, 0.5 + 0.4 * known),
        "forget_margin": 4 * share(FORGET, known) - 2,
        "retain_probability": share(RETAIN, 0.8),
        "retain_paraphrase_probability": share(RETAIN, 0.4),
    }
    replies = {"retain_rouge_l_recall": share(RETAIN, 0.8), "forget_fluent": share(FORGET, 0.8)}
    for split in ("real_authors", "world_facts"):
        answers[f"{split}_probability"] = share(RETAIN, 0.3)
        answers[f"{split}_probability_normalised"] = share(RETAIN, 0.5)
        replies[f"{split}_rouge_l_recall"] = share(RETAIN, 0.8)
    for split in ("retain", "real_authors", "world_facts"):
        answers[f"{split}_wrong_probability"] = share(RETAIN, 0.2)
        answers[f"{split}_wrong_probability_arithmetic"] = share(RETAIN, 0.3)
    membership = {}
    for attack in ATTACKS:
        texts = hard.normal(size=FORGET), hard.normal(size=HOLDOUT)
        membership[f"forget_{attack}"] = texts[0] + 0.3 * rng.normal(size=FORGET) + 0.3 - 2 * known
        membership[f"holdout_{attack}"] = texts[1] + 0.3 * rng.normal(size=HOLDOUT)
    return {"answers": answers, "replies": replies, "membership": membership}


def rows(**changes: Any) -> list[Result]:
    """A model before unlearning, retrained, and after unlearning."""
    return [
        measured("before", model(1, 0.9), role="before", **changes),
        measured("retrained", model(2), role="retrained", **changes),
        measured("unlearned", model(3, 0.4), **changes),
    ]
