"""lm-eval's results_*.json: results -> task -> 'metric,filter'; samples_TASK_*.jsonl beside it."""

from collections.abc import Iterator, Mapping
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.logs.contents import Contents, mean, need, number, read_contents
from unlearnbench.logs.log import Check, Log, Verification, impossible_shares

KIND = "lm-eval"
LOOKS_FOR = "'results' with 'metric,filter' by task"
TASK = "multiple_choice"
_NAMES = {"acc": "accuracy", "acc_norm": "accuracy_normalised"}
_SHARES = ("acc", "acc_norm", "exact_match")


def fits(contents: Contents) -> bool:
    """Whether a file looks like lm-eval's."""
    value = contents.value
    return isinstance(value, Mapping) and isinstance(value.get("results"), Mapping)


def read(contents: Contents) -> list[Log]:
    """The log; per-item values where the samples lie beside it."""
    items: dict[str, dict[str, float]] = {}
    totals: dict[str, tuple[float, float | None]] = {}
    stated = {}
    for task, metric, key, value, error in _values(contents):
        name = f"{task}_{_NAMES.get(metric, metric)}"
        samples = _samples(contents, task, metric, key)
        if samples:
            items[name] = samples
        else:
            totals[name] = (value, error)
        stated[f"{task}.{key}"] = value
    if not stated:
        raise UserError(f"{contents.path.name}: results hold no 'metric,filter' with a number")
    model = str(contents.value.get("model_name") or contents.value.get("model") or contents.stem)
    return [Log(contents.path, contents.sha256, KIND, model, items={TASK: items} if items else {},
                totals={TASK: totals} if totals else {}, stated=stated)]  # fmt: skip


def verify(contents: Contents, reference: Contents | None) -> Verification:  # noqa: ARG001
    """Each mean from the samples beside the file, where they are."""
    checks, problems, without = [], [], []
    for task, metric, key, value, _ in _values(contents):
        samples = _samples(contents, task, metric, key)
        if samples:
            checks.append(Check(f"{task}.{key}", mean(samples.values()), value))
        else:
            without.append(f"{task}.{key}")
        if metric in _SHARES:
            problems += impossible_shares({key: value}, task)
    notes = [f"no samples beside the file, so not recomputed: {', '.join(without)}"]
    model = read(contents)[0].model
    return Verification(f"{KIND} results of {model}", tuple(checks), tuple(problems),
                        tuple(notes) if without else ())  # fmt: skip


def _values(contents: Contents) -> Iterator[tuple[str, str, str, float, float | None]]:
    """Task, metric, its key, the value and its standard error."""
    for task, fields in need(contents.value, "results", contents.path.name, KIND).items():
        where = f"{contents.path.name}: results.{task}"
        if not isinstance(fields, Mapping):
            raise UserError(f"{where} is no object: not a file as {KIND} writes it")
        for key, value in fields.items():
            metric, comma, name = key.partition(",")
            if comma and not metric.endswith("_stderr") and isinstance(value, int | float):
                error = fields.get(f"{metric}_stderr,{name}")
                stated = float(error) if isinstance(error, int | float) else None
                yield task, metric, key, number(value, f"{where}.{key}"), stated


def _samples(contents: Contents, task: str, metric: str, key: str) -> dict[str, float]:
    """The metric by item, of the samples that were written with these results."""
    stamp = contents.stem.removeprefix("results")  # '_2025-01-01T00-00-00.000000'
    path = contents.beside(f"samples_{task}{stamp}.jsonl")
    if path is None:
        return {}
    wanted = key.partition(",")[2]
    rows: list[Mapping[str, Any]] = [
        row for row in read_contents(path).rows if row.get("filter", wanted) == wanted
    ]
    if not all(isinstance(row.get(metric), int | float) for row in rows):
        return {}
    where = f"{path.name}: "
    return {
        str(need(row, "doc_id", where, KIND)): number(row[metric], where + metric) for row in rows
    }
