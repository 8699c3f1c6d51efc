"""Results as lm-eval writes its own: results_*.json, and samples_TASK_*.jsonl beside it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from unlearnbench.exporting.parquet import check_empty
from unlearnbench.files.whole_files import write_whole
from unlearnbench.results.record import Result
from unlearnbench.results.score import Metric, Score

_REMEDY = "choose another -o"
_FILTER = "none"  # lm-eval's name for answers as they are
_VERSION = 1.0


@dataclass
class _LmEvalTask:
    """What lm-eval would call one task: metrics of the same documents."""

    scores: dict[str, tuple[Metric, Score]] = field(default_factory=dict)

    @property
    def documents(self) -> list[str]:
        """The doc_ids, in order."""
        return list(next(iter(self.scores.values()))[1].documents)

    @property
    def parts(self) -> list[str]:
        """The tasks that it is the mean of, if it is a group of them."""
        return next((score.parts for _, score in self.scores.values() if score.parts), [])

    @property
    def recomputable(self) -> dict[str, Score]:
        """The metrics that are means of their documents, as samples are."""
        return {
            name: score
            for name, (_, score) in self.scores.items()
            if score.documents and score.aggregation == "mean"
        }


def write_lm_eval(folder: Path, results: Iterable[Result], texts: bool = False) -> list[Path]:
    """Write a folder for each result that has scores; the files.

    With `texts` the samples hold what the model wrote, too.  Raises `UserError` where nothing can
    be written, and for a folder in which something else lies.
    """
    check_empty(folder)
    written = []
    for result in results:
        if not result.scores:
            continue
        place, stamp = folder / _folder_name(result), _stamp(result)
        tasks = tasks_of(result)
        for name, task in tasks.items():
            if task.recomputable:
                lines = [json.dumps(row, ensure_ascii=False) for row in _samples(task, texts)]
                written.append(place / f"samples_{name}_{stamp}.jsonl")
                write_whole(written[-1], "\n".join(lines) + "\n", _REMEDY)
        written.append(place / f"results_{stamp}.json")
        text = json.dumps(results_json(result, tasks), indent=2, ensure_ascii=False)
        write_whole(written[-1], text, _REMEDY)
    return written


def tasks_of(result: Result) -> dict[str, _LmEvalTask]:
    """The scores by lm-eval's task.

    A set of questions (HellaSwag) is a task of its own with a metric `acc`, and so is each text of
    perplexity and each split of a benchmark's task, because a task there is of one data set.  What
    else is measured on other documents than the rest of its task stands alone.
    """
    metrics = {(metric.task, metric.name): metric for metric in result.metrics}
    tasks: dict[str, _LmEvalTask] = {}
    for of, by_name in result.scores.items():
        for name, score in by_name.items():
            metric = metrics[of, name]
            task, short = _place(result, metric, score)
            own = tasks.setdefault(task, _LmEvalTask())
            if own.scores and own.documents != list(score.documents):
                own = tasks.setdefault(f"{task}_{short}", _LmEvalTask())
            own.scores[short] = metric, score
    return tasks


def _place(result: Result, metric: Metric, score: Score) -> tuple[str, str]:
    """The task and the metric's name within it."""
    unit = re.search(r"\((\w+)\)", metric.label)  # 'HellaSwag (ACC)'
    if metric.name in result.sets and unit:
        return metric.name, unit[1].lower()
    if score.parts and unit:  # a mean over sets, which is a group there
        return metric.task, unit[1].lower()
    if metric.documents == "texts" and "_" in metric.name:  # 'pile_ppl'
        text, _, short = metric.name.rpartition("_")
        return text, short
    splits = result.benchmark.splits if result.benchmark and score.documents else {}
    for split in sorted(splits, key=len, reverse=True):  # forget_rephrased before forget
        if metric.name.startswith(f"{split}_"):
            return f"{metric.task}_{split}", metric.name.removeprefix(f"{split}_")
    return metric.task, metric.name


def results_json(result: Result, tasks: Mapping[str, _LmEvalTask]) -> dict[str, Any]:
    """The content of results_*.json: values as stored, with their standard errors."""
    model, method = result.model, result.method
    values = {name: _values(name, task) for name, task in tasks.items()}
    parts = {name: task.parts for name, task in tasks.items()}
    return {
        "results": values,
        "groups": {name: of for name, of in values.items() if parts[name]},
        "group_subtasks": parts,
        "configs": {
            name: {"task": name, "metadata": {"version": _VERSION}, "metric_list": _metrics(task)}
            for name, task in tasks.items()
        },
        "versions": dict.fromkeys(tasks, _VERSION),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {
            name: {short: metric.higher_is_better for short, (metric, _) in task.scores.items()}
            for name, task in tasks.items()
        },
        "n-samples": {
            name: dict.fromkeys(
                ("original", "effective"), max(s.n for _, s in task.scores.values())
            )
            for name, task in tasks.items()
        },
        "config": {
            "model": "unlearnbench",
            "model_args": {"pretrained": model.name, "dtype": model.dtype},
            "model_num_parameters": model.n_parameters,
            "model_revision": model.revision,
            "model_sha": model.weights_sha256,
            "device": model.device,
            "random_seed": result.seed,
            "torch_seed": result.seed,
        },
        "unlearnbench": {
            "key": result.key,
            "label": result.label,
            "status": result.status,
            "role": result.role,
            "method": method.name,
            "settings": method.settings,
            "forget_set": result.forget_set.name,
            "run": result.forget_set.run,
            "protocol": result.protocol_name,
            "benchmark": result.benchmark.name if result.benchmark else None,
            "n_epochs": result.trace.n_epochs if result.trace else None,
        },
        "git_hash": result.environment.git_commit,
        "date": datetime.fromisoformat(result.started_at).timestamp(),
        "transformers_version": result.environment.packages.get("transformers"),
        "lm_eval_version": result.environment.packages.get("lm_eval"),
        "model_source": "unlearnbench",
        "model_name": f"{result.group}: {result.label}",
        "total_evaluation_time_seconds": str(result.seconds),
    }


def _values(name: str, task: _LmEvalTask) -> dict[str, Any]:
    values: dict[str, Any] = {"alias": name}
    for short, (_, score) in task.scores.items():
        values[f"{short},{_FILTER}"] = score.value
        values[f"{short}_stderr,{_FILTER}"] = "N/A" if score.stderr is None else score.stderr
    return values


def _metrics(task: _LmEvalTask) -> list[dict[str, Any]]:
    return [
        {"metric": short, "aggregation": s.aggregation, "higher_is_better": metric.higher_is_better}
        for short, (metric, s) in task.scores.items()
    ]


def _samples(task: _LmEvalTask, texts: bool) -> Iterator[dict[str, Any]]:
    """One row a document: the fields that lm-eval writes, with every metric's value."""
    measured = task.recomputable
    outputs = next((score.outputs for score in measured.values() if score.outputs), {})
    for doc_id in next(iter(measured.values())).documents:
        written = [outputs[doc_id]] if texts and doc_id in outputs else []
        yield {
            "doc_id": doc_id,
            "doc": {},
            "target": "",
            "arguments": {},
            "resps": [written],
            "filtered_resps": written,
            "filter": _FILTER,
            "metrics": list(measured),
            **{short: score.documents[doc_id] for short, score in measured.items()},
        }


def _folder_name(result: Result) -> str:
    """What the result is, as a name that every file system takes, and its key's beginning."""
    words = f"{result.group} {result.label} {result.forget_set.run} {result.seed}"
    return f"{re.sub(r'[^A-Za-z0-9.+-]+', '_', words).strip('_')[:100]}_{result.key[:8]}"


def _stamp(result: Result) -> str:
    """When the cell was begun, in lm-eval's form."""
    return datetime.fromisoformat(result.started_at).strftime("%Y-%m-%dT%H-%M-%S.%f")
