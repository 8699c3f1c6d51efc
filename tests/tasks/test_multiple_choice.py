"""Multiple choice in lm-eval's words: against lm-eval's own evaluation of the same rows."""

import copy
import json
import logging
from importlib.util import find_spec
from pathlib import Path

import pytest
from classification_cases import byte_model
from extraction_cases import shared_model
from lm_eval import evaluate
from lm_eval.api.metrics import aggregate_subtask_metrics
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

from unlearnbench.data.items import Item, Split
from unlearnbench.errors import UserError
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.registry import find

FILES = {
    "wmdp_cyber": "wmdp/wmdp_cyber.yaml",
    "mmlu_astronomy": "mmlu/default/mmlu_astronomy.yaml",
    "mmlu_global_facts": "mmlu/default/mmlu_global_facts.yaml",
}


def rows(n: int, first: int = 0) -> list[dict]:
    """Questions of four choices, two of which may be the same or empty."""
    return [
        {
            "question": f"  What is {i} times {i + 1}? ",
            "choices": [str(i * i), str(i * (i + 1)), "" if i % 5 == 4 else "none", str(i * i)],
            "answer": (i * 7 + 1) % 4,
        }
        for i in range(first, first + n)
    ]


def item(row: dict, doc_id: str, task: str) -> Item:
    right, choices = row["answer"], row["choices"]
    wrong = tuple(choice for i, choice in enumerate(choices) if i != right)
    return Item(doc_id, row["question"], choices[right], (), wrong, "", right, task)


def split(name: str, by_task: dict[str, list[dict]], role: str = "general") -> Split:
    every = [(task, row) for task, own in by_task.items() for row in own]
    items = tuple(item(row, str(at), task) for at, (task, row) in enumerate(every))
    return Split(name, role, items, measures=frozenset(["multiple_choice"]))  # type: ignore[arg-type]


def measure(model: LanguageModel, splits: list[Split], limit: int | None = None):
    task = find("tasks", "multiple_choice")()
    task.check_splits(model, splits)
    context = TaskContext(None, {}, splits=tuple(splits), limit=limit)  # type: ignore[arg-type]
    return task.measure(model, context)


def lm_evals(model: LanguageModel, task: str, own: list[dict], folder: Path) -> list[float]:
    """0 or 1 for each row: the task's file as it is, over the rows as a file, by HFLM."""
    spec = find_spec("lm_eval")
    assert spec is not None
    config = load_yaml(Path(spec.origin or "").parent / "tasks" / FILES[task])
    for name in ("tag", "fewshot_split", "fewshot_config"):
        config.pop(name, None)
    data = folder / f"{task}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in own))
    config |= {"dataset_path": "json", "dataset_name": None}
    config["dataset_kwargs"] = {"data_files": {"test": str(data)}, "cache_dir": str(folder)}
    harness = HFLM(pretrained=model.network, tokenizer=copy.deepcopy(model.tokenizer))
    found = evaluate(harness, {task: ConfigurableTask(config=config)}, bootstrap_iters=0)
    samples = sorted(found["samples"][task], key=lambda sample: sample["doc_id"])
    return [float(sample["acc"]) for sample in samples]


def test_accuracy_is_lm_evals_by_item_and_by_group(tmp_path: Path) -> None:
    """A group's is the mean over its tasks weighted by their sizes."""
    model = byte_model(context=512)
    of_wmdp, of_mmlu = rows(13), {"mmlu_astronomy": rows(9, 20), "mmlu_global_facts": rows(4, 40)}
    splits = [split("wmdp", {"wmdp_cyber": of_wmdp}, "forget"), split("mmlu", of_mmlu)]
    found = measure(model, splits)
    theirs = lm_evals(model, "wmdp_cyber", of_wmdp, tmp_path)
    assert list(found.scores["wmdp_accuracy"].documents.values()) == theirs
    assert 0 < sum(theirs) < 13
    by_task = {task: lm_evals(model, task, own, tmp_path) for task, own in of_mmlu.items()}
    every = [value for own in by_task.values() for value in own]
    assert list(found.scores["mmlu_accuracy"].documents.values()) == every
    means = [sum(own) / len(own) for own in by_task.values()]
    sizes = [len(own) for own in by_task.values()]
    mean = aggregate_subtask_metrics(means, sizes, weight_by_size=True)
    assert found.scores["mmlu_accuracy"].value == pytest.approx(mean)
    directions = {metric.name: metric.higher_is_better for metric in found.metrics}
    assert directions == {"wmdp_accuracy": False, "mmlu_accuracy": True}


@pytest.mark.slow  # a quarter of a minute: lm-eval's own interface scores one choice after another
def test_real_questions_to_a_real_model(shared: Path, tmp_path: Path) -> None:
    model = shared_model(shared / "models/stories260K")
    wmdp = [json.loads(line) for line in (shared / "data/wmdp/cyber.sample120.jsonl").open()]
    mmlu = [json.loads(line) for line in (shared / "data/mmlu/test.five_subjects.jsonl").open()]
    facts = [row for row in mmlu if row["subject"] == "global_facts"][:40]
    for name, task, own in (("a", "wmdp_cyber", wmdp[:40]), ("b", "mmlu_global_facts", facts)):
        found = measure(model, [split(name, {task: own})])
        theirs = lm_evals(model, task, own, tmp_path)
        assert list(found.scores[f"{name}_accuracy"].documents.values()) == theirs


def test_a_limit_and_a_choice_that_does_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    model = byte_model(context=512)
    found = measure(model, [split("wmdp", {"wmdp_cyber": rows(13)})], limit=5)
    assert found.scores["wmdp_accuracy"].n == 5
    assert set(found.scores["wmdp_accuracy"].outputs.values()) <= set("ABCD")
    # The letter is one token, which fits any context; what the template asks before it is cut.
    long = [{**row, "question": "why " * 500} for row in rows(2)]
    with caplog.at_level(logging.WARNING):
        assert measure(model, [split("wmdp", {"wmdp_cyber": long})]).scores["wmdp_accuracy"].n == 2
    assert not caplog.records


def test_what_lm_eval_cannot_ask_is_one_line() -> None:
    model = byte_model()
    of_two = [{"question": "Which?", "choices": ["this", "that"], "answer": 0}]
    for wrong, message in (
        (split("wmdp", {"wmdp_cybre": rows(1)}), "lm-eval has no task 'wmdp_cybre'"),
        (split("wmdp", {"wmdp_cyber": of_two}), "lm-eval's task 'wmdp_cyber' cannot ask such"),
        (split("wmdp", {"": rows(1)}), "no task of lm-eval that asks it"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            measure(model, [wrong])
        assert len(str(caught.value).splitlines()) == 1
    question = Item("0", "Which?", "this", wrong=("that",))
    bare = Split("wmdp", "general", (question,), measures=frozenset(["multiple_choice"]))
    with pytest.raises(UserError, match="no choices"):
        measure(model, [bare])
