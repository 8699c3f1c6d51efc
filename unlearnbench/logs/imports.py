"""From a log to a result: what its file says, and nowhere more than that."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, get_args

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import Note
from unlearnbench.data.benchmarks.definition import Definition, find_benchmark, shipped
from unlearnbench.errors import UserError, unknown
from unlearnbench.files.hashing import text_sha256
from unlearnbench.logs.columns import metric_of, split_of
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

ImportRole = Literal["before", "retrained", "null", "sham", "method"]
ROLES: tuple[ImportRole, ...] = get_args(ImportRole)
_WHOLE = "all"  # the split of a log that does not say it
_SPLIT_ROLES: dict[str, Literal["forget", "retain", "holdout", "general"]] = {
    "forget": "forget",
    "retain": "retain",
    "holdout": "holdout",
}


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
    run = log.split or _WHOLE
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
            kind=log.kind,
            file=log.path.name,
            sha256=log.sha256,
            stated=dict(log.stated),
            method=log.method,
            settings=dict(log.settings),
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
    if wanted.benchmark is None and wanted.split is None:
        return log
    name = wanted.benchmark or log.benchmark
    if not name:
        raise UserError("--split names a split of a benchmark; give --benchmark, too")
    if wanted.benchmark is None and name not in shipped():
        return replace(log, split=wanted.split or "")
    benchmark = find_benchmark(name)
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


def _forget_items(log: Log) -> list[str]:
    """The names of the forget set's items, of whatever is known of them."""
    for metrics in log.items.values():
        for name, items in metrics.items():
            if name.startswith("forget_"):
                return list(items)
    return []


def _benchmark_record(log: Log, scores: dict[str, dict[str, Score]]) -> BenchmarkRecord:
    """The shipped benchmark of that name, else one whose columns are what the log has."""
    definition: Definition | None = None
    with suppress(UserError):
        definition = find_benchmark(log.benchmark).definition
    names: dict[str, set[str]] = {}  # of each split's items
    for by_metric in scores.values():
        for name, score in by_metric.items():
            names.setdefault(split_of(name), set()).update(score.documents)
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
        name=log.benchmark or log.kind,
        title=definition.title if definition else log.benchmark or log.kind,
        split=log.split or _WHOLE,
        template=log.template,
        columns=list(definition.columns) if definition else list(_columns_of(scores)),
        published=definition.published if definition else log.benchmark or None,
        splits=found,
    )


def _columns_of(scores: dict[str, dict[str, Score]]) -> Iterator[str]:
    """What a table shows of a log of no shipped benchmark; of attacks what is derived of them."""
    if "membership" in scores:
        yield from ("privacy_leakage", "auc_min_k")
    for task, by_metric in scores.items():
        if task != "membership":
            yield from by_metric
