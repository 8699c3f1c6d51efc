"""From a log to a result: what its file says, and nowhere more than that."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, get_args

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import Note
from unlearnbench.data.benchmarks.definition import Definition, find_benchmark
from unlearnbench.errors import UserError, unknown
from unlearnbench.files.hashing import text_sha256
from unlearnbench.logs.log import Log, unlike_items
from unlearnbench.results.record import (
    IMPORTED,
    BenchmarkRecord,
    Environment,
    ForgetSetRecord,
    ImportRecord,
    MethodRecord,
    ModelRecord,
    Result,
    SplitRecord,
    StopRecord,
    key_of,
)
from unlearnbench.results.score import Metric, Score

ImportRole = Literal["before", "retrained", "null", "method"]
ROLES: tuple[ImportRole, ...] = get_args(ImportRole)
_SPLIT_ROLES: dict[str, Literal["forget", "retain", "holdout", "general"]] = {
    "forget": "forget",
    "retain": "retain",
    "holdout": "holdout",
}


@dataclass(frozen=True)
class Measure:
    """What is measured of a split's items, as the tasks that measure it declare it."""

    ending: str  # of the metric's name, behind the split's
    label: str
    unit: str = "%"
    scale: float = 100.0
    decimals: int = 1
    high_is_unknown: bool = False  # a high value says that the model does not know the item


_MEASURES = (
    Measure("probability_normalised", "normalised probability (%)"),
    Measure("paraphrase_probability", "paraphrase's probability (%)"),
    Measure(
        "wrong_probability_arithmetic", "wrong answers' mean probability (%)", high_is_unknown=True
    ),
    Measure("wrong_probability", "wrong answers' probability (%)", high_is_unknown=True),
    Measure("probability", "probability (%)"),
    Measure("extraction_strength", "extraction strength (%)"),
    Measure("exact_memorisation", "exact memorisation (%)"),
    Measure("rouge_l_recall", "ROUGE-L recall (%)"),
    Measure("rouge_l_f1", "ROUGE-L F1 (%)"),
    Measure("loss", "loss", "nats", 1.0, 3, True),
    Measure("zlib", "loss over zlib bytes", "", 1.0, 5, True),
    Measure("min_k_plus_plus", "Min-K++", "", 1.0, 3, True),
    Measure("min_k", "Min-K", "nats", 1.0, 3, True),
    Measure("gradient_norm", "gradient norm", "", 1.0, 3, True),
    Measure("reference", "loss over the reference's", "nats", 1.0, 3, True),
)


@dataclass(frozen=True)
class Wanted:
    """What a user says of the logs that they do not say themselves."""

    role: ImportRole = "method"
    label: str | None = None
    group: str | None = None
    benchmark: str | None = None
    split: str | None = None


def result_of(log: Log, wanted: Wanted, position: int = 0) -> Result:
    """The result of one log; its key is of the file, the model and what the user says of it."""
    log = with_benchmark(log, wanted)
    label = wanted.label or log.model
    group = wanted.group or " ".join(filter(None, (log.benchmark, log.split))) or log.kind
    identity = {
        "imported": {"kind": log.kind, "sha256": log.sha256, "model": log.model},
        "row": {"role": wanted.role, "label": label, "group": group},
        "forget_set": {"benchmark": log.benchmark, "split": log.split},
    }
    metrics, scores = _scores(log)
    forget = log.values("answers", "forget_probability") or _forget_items(log)
    run = log.split or "all"
    return Result(
        key=key_of(identity),
        identity=identity,
        status="ok",
        role=wanted.role,
        group=group,
        label=label,
        model=ModelRecord(
            name=log.model,
            location=log.model,
            revision=None,
            weights_sha256="",
            architecture="",
            n_parameters=0,
            dtype="",
            device="",
        ),
        method=MethodRecord(
            name=IMPORTED if wanted.role == "method" else "none", label=label, settings={}
        ),
        forget_set=ForgetSetRecord(
            name=log.benchmark or log.kind,
            run=run,
            # Of the answers where the log has them: what tells one split's items from another's.
            content_sha256=text_sha256(
                log.benchmark, run, repr(log.texts.get("forget") or sorted(forget))
            ),
            doc_ids=list(forget),
        ),
        protocol_name=IMPORTED,
        protocol={},
        stop=StopRecord(source="paper", el=math.nan, ma=math.nan),
        benchmark=_benchmark_record(log, scores),
        imported=ImportRecord(
            kind=log.kind, file=log.path.name, sha256=log.sha256, stated=dict(log.stated)
        ),
        seed=0,
        position=position,
        metrics=metrics,
        scores=scores,
        costs={},
        environment=Environment(
            python="",
            platform=f"imported from {log.path.name}, sha256 {log.sha256}",
            packages={},
            n_threads=0,
        ),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
    )


def imported_note(results: Iterable[Result]) -> Note | None:
    """Which rows were not measured here, and where they come from."""
    sources: dict[str, dict[str, None]] = {}
    for result in results:
        if (log := result.imported) is not None:
            where = f"{log.kind}'s {log.file} (sha256 {log.sha256[:8]})"
            sources.setdefault(where, {})[result.label] = None
    if not sources:
        return None
    parts = (f"{listed(labels)} from {where}" for where, labels in sources.items())
    return Note("imported", f"Not measured here but imported: {'; '.join(parts)}.")


def check_reference(logs: Sequence[Log], reference: Log) -> None:
    """Raise `UserError` unless the reference is of the same items as each of the logs."""
    for log in logs:
        where = f"{log.path.name} ({log.model})"
        if log.kind != reference.kind:
            raise UserError(
                f"--reference {reference.path.name} is a {reference.kind} log, {where} a "
                f"{log.kind} one; give the retrained model's log of the same harness"
            )
        if why := unlike_items(log, reference):
            raise UserError(
                f"--reference {reference.path.name} cannot stand beside {where}: {why}; give the "
                "retrained model's log of the same split"
            )


def with_benchmark(log: Log, wanted: Wanted) -> Log:
    """The log with the benchmark and split that the user names, where it does not say another."""
    if wanted.benchmark is None:
        if wanted.split is not None:
            raise UserError("--split names a split of a benchmark; give --benchmark, too")
        return log
    benchmark = find_benchmark(wanted.benchmark)
    # MUSE's logs do not say which of its two it is: 'muse-news' is one of 'muse'.
    if log.benchmark and log.benchmark != benchmark.name.partition("-")[0]:
        raise UserError(
            f"{log.path.name} is of the benchmark {log.benchmark}, not of {benchmark.name}; leave "
            "--benchmark out"
        )
    splits = benchmark.definition.forget
    said = log.split if log.split in splits else ""
    split = wanted.split or said or (next(iter(splits)) if len(splits) == 1 else "")
    if not split:
        raise UserError(
            f"{log.path.name} does not say its split; give one of {', '.join(splits)}: --split NAME"
        )
    if split not in splits:
        raise unknown("split", split, splits, f"unlearnbench show {benchmark.name}")
    if said and split != said:
        n = len(log.values("answers", "forget_probability"))
        raise UserError(
            f"--split {split}: {log.path.name} has {n} items to forget, which is {said}"
        )
    return replace(log, benchmark=benchmark.name, split=split)


def _scores(log: Log) -> tuple[list[Metric], dict[str, dict[str, Score]]]:
    metrics: list[Metric] = []
    scores: dict[str, dict[str, Score]] = {}
    for task, by_metric in log.items.items():
        for name, items in by_metric.items():
            metric = metric_of(task, name)
            metrics.append(metric)
            score = Score.of(items, higher_is_better=metric.higher_is_better)
            scores.setdefault(task, {})[name] = score
    for task, totals in log.totals.items():
        for name, (value, error) in totals.items():
            metric = metric_of(task, name)
            metrics.append(metric)
            higher = metric.higher_is_better
            # n: nobody says how many items it is the mean of.
            score = Score(value=value, stderr=error, n=0, higher_is_better=higher)
            scores.setdefault(task, {})[name] = score
    return metrics, scores


def metric_of(task: str, name: str) -> Metric:
    """The column of a metric, as the task that measures it here declares it."""
    measure = next((m for m in _MEASURES if name.endswith("_" + m.ending)), None)
    if measure is None:
        label = name.replace("_", " ").capitalize()
        is_accuracy = name.endswith(("_accuracy", "_accuracy_normalised"))
        scale = 100.0 if is_accuracy else 1.0
        return Metric(name, f"{label} (%)" if is_accuracy else label, True, task=task, scale=scale,
                      unit="%" if is_accuracy else "", in_score=False)  # fmt: skip
    split = name.removesuffix("_" + measure.ending)
    is_to_go = split.startswith(("forget", "holdout"))
    return Metric(
        name,
        f"{split.replace('_', ' ').capitalize()} {measure.label}",
        higher_is_better=measure.high_is_unknown == is_to_go,
        unit=measure.unit,
        scale=measure.scale,
        decimals=measure.decimals,
        in_score=False,
        documents="rows" if is_to_go else "sets",
        task=task,
    )


def _forget_items(log: Log) -> list[str]:
    """The names of the forget set's items, of whatever is known of them."""
    for metrics in log.items.values():
        for name, items in metrics.items():
            if name.startswith("forget_"):
                return list(items)
    return []


def _benchmark_record(log: Log, scores: dict[str, dict[str, Score]]) -> BenchmarkRecord | None:
    """The benchmark of that name, if one is shipped."""
    try:
        definition: Definition = find_benchmark(log.benchmark).definition
    except UserError:
        return None
    names: dict[str, set[str]] = {}  # of each split's items
    for by_metric in scores.values():
        for name, score in by_metric.items():
            measure = next((m for m in _MEASURES if name.endswith("_" + m.ending)), None)
            split = name.removesuffix("_" + measure.ending) if measure else name
            names.setdefault(split, set()).update(score.documents)
    found = {
        split: SplitRecord(
            role=_SPLIT_ROLES.get(split.partition("_")[0], "general"),
            source=log.path.name,
            n=len(items),
            # The same of two logs of the same items: their answers, else their names.
            sha256=text_sha256(split, repr(log.texts.get(split) or sorted(items))),
        )
        for split, items in names.items()
    }
    return BenchmarkRecord(
        name=log.benchmark,
        title=definition.title,
        split=log.split,
        template=log.template,
        columns=list(definition.columns),
        published=definition.published,
        splits=found,
    )
