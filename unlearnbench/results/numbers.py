"""A result's numbers alone: for who may not have its texts, or has no room for them."""

from typing import Any

from unlearnbench.files.safe_text import without_folders
from unlearnbench.results.record import Result


def to_hand_out(result: Result) -> Result:
    """The result without texts, and of the files that its settings name only the names."""
    method, attack = result.method, result.attack
    named = without_folders(method.settings)
    changed: dict[str, Any] = {"method": method.model_copy(update={"settings": named})}
    if attack is not None:
        settings = without_folders(attack.settings)
        changed["attack"] = attack.model_copy(update={"settings": settings})
    return without_texts(result).model_copy(update=changed)


def without_texts(result: Result) -> Result:
    """The result with its numbers alone: not what its rows say, nor what models wrote of them."""
    full = result.in_full()
    trace = full.trace
    if trace is not None:
        epochs = [epoch.model_copy(update={"rows": []}) for epoch in trace.epochs]
        trace = trace.model_copy(update={"epochs": epochs})
    scores = {
        task: {name: score.model_copy(update={"outputs": {}}) for name, score in of_task.items()}
        for task, of_task in full.scores.items()
    }
    forget_set = full.forget_set.model_copy(update={"prefixes": {}, "suffixes": {}})
    changed = {"forget_set": forget_set, "trace": trace, "scores": scores, "continuations": {}}
    return full.model_copy(update=changed)
