"""Runs one cell: load the model, make it forget, measure, and give the whole record back."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unlearnbench.environment import describe_environment, fix_randomness
from unlearnbench.errors import UserError
from unlearnbench.examination import make_examiner
from unlearnbench.method import Method
from unlearnbench.progress import logger
from unlearnbench.registry import find
from unlearnbench.result import (
    EvaluationSetRecord,
    ForgetSetRecord,
    MethodRecord,
    MetricRecord,
    ModelRecord,
    PhaseRecord,
    Result,
    Status,
    StopRecord,
)
from unlearnbench.task import TaskContext

if TYPE_CHECKING:
    from unlearnbench.cell import Cell
    from unlearnbench.epochs import UnlearnProgress
    from unlearnbench.evaluation_sets import EvaluationSet
    from unlearnbench.forget_set import ForgetSet
    from unlearnbench.model import LanguageModel
    from unlearnbench.sequences import Sequences
    from unlearnbench.task import Score
    from unlearnbench.trace import UnlearnTrace


@dataclass(frozen=True)
class Finished:
    """A cell's result and, if it failed, where."""

    result: Result
    traceback: str = ""

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        if self.result.status == "failed":
            return f"failed: {self.result.error}"
        trace = self.result.trace
        epochs = f", {trace.n_epochs} epochs" if trace else ""
        return f"{self.result.status.replace('_', ' ')}{epochs}, {self.result.seconds:.0f} s"


@dataclass
class _Progressing:
    """What is known of a cell so far; a failure is recorded with as much of it as there is."""

    model: "LanguageModel | None" = None
    forget_set: "ForgetSet | None" = None
    trace: "UnlearnTrace | None" = None
    metrics: list[MetricRecord] = field(default_factory=list)
    scores: dict[str, dict[str, "Score"]] = field(default_factory=dict)


def run_cell(cell: "Cell") -> Finished:
    """Run one cell from a fresh model; depends on nothing that ran before in this process.

    Whatever goes wrong inside becomes a failed result; only an interrupt passes.
    """
    started_at, started = datetime.now(UTC), time.perf_counter()
    so_far = _Progressing()
    error, trace = None, ""
    fix_randomness(cell.seed, cell.threads)
    try:
        _unlearn_and_measure(cell, so_far)
    except Exception as problem:  # a third party's method may raise anything; the others go on
        error, trace = _in_one_line(problem), traceback.format_exc()
        logger.debug("%s failed:\n%s", cell.title, trace.rstrip())
    seconds = time.perf_counter() - started
    result = _result(cell, so_far, error, started_at.isoformat(timespec="seconds"), seconds)
    return Finished(result, trace)


def lost_result(cell: "Cell", reason: str) -> Result:
    """The result of a cell whose process is gone: failed, with what is known from outside."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return _result(cell, _Progressing(), reason, now, 0.0)


def _unlearn_and_measure(cell: "Cell", so_far: _Progressing) -> None:
    so_far.model = model = cell.model.load()
    examiner = make_examiner(cell, model)
    forget_set = cell.data.read_forget_set(cell.run, cell.limit, model, examiner)
    so_far.forget_set = forget_set
    if cell.role == "method":
        so_far.trace = _unlearn(cell, model, forget_set)
        if so_far.trace.outcome == "collapsed":
            return  # there is nothing left to measure
    # Whatever a method drew, measuring starts from the same state for every method.
    fix_randomness(cell.seed, cell.threads)
    context = TaskContext(
        forget_set,
        cell.data.texts,
        sets=cell.data.sets,
        protocol=cell.protocol,
        limit=cell.task_limit,
    )
    for name, settings in cell.tasks.items():
        task = find("tasks", name)(**settings)
        with model.meter.phase("measure"):
            scores = task.measure(model, context)
        so_far.scores[task.name] = scores
        so_far.metrics += [MetricRecord(task=name, **asdict(m)) for m in task.measured(scores)]


def _unlearn(cell: "Cell", model: "LanguageModel", forget_set: "ForgetSet") -> "UnlearnTrace":
    from unlearnbench.epochs import listening

    method = find("methods", cell.method)(**cell.settings)
    with listening(_narrator(cell.title)):
        trace: UnlearnTrace = method.unlearn(model, forget_set)
    model.network.eval()
    return trace


def _narrator(title: str, every: float = 20.0) -> "Callable[[UnlearnProgress], None]":
    """Logs where an unlearning run stands; shows it at most once in so many seconds."""
    last = time.monotonic()

    def tell(now: "UnlearnProgress") -> None:
        nonlocal last
        if now.record is None:
            return
        is_due = time.monotonic() - last >= every
        if is_due:
            last = time.monotonic()
        means = ", ".join(f"{name} {value:.3f}" for name, value in now.record.metrics.items())
        level = logging.INFO if is_due else logging.DEBUG
        logger.log(level, "  %s: epoch %d of %d: %s", title, now.epoch, now.max_epochs, means)

    return tell


def _status(error: str | None, trace: "UnlearnTrace | None") -> tuple[Status, str | None]:
    if error is not None:
        return "failed", error
    if trace is not None and trace.outcome == "collapsed":
        return "failed", f"collapsed: {trace.reason}"
    if trace is not None and trace.outcome == "not_forgotten":
        return "not_forgotten", None
    return "ok", None


def _result(
    cell: "Cell", so_far: _Progressing, error: str | None, started_at: str, seconds: float
) -> Result:
    status, message = _status(error, so_far.trace)
    return Result(
        key=cell.key,
        identity=cell.identity,
        status=status,
        error=message,
        role=cell.role,
        group=cell.group,
        label=cell.label,
        model=_model_record(cell, so_far.model),
        method=MethodRecord(
            name=cell.method,
            label=cell.method_label,
            settings=cell.settings,
            origins=cell.origins,
        ),
        forget_set=_forget_set_record(cell, so_far),
        protocol_name=cell.protocol_name,
        protocol=asdict(cell.protocol),
        stop=_stop_record(cell, so_far.forget_set),
        sets={name: _set_record(found) for name, found in cell.data.sets.items()},
        seed=cell.seed,
        position=cell.position,
        metrics=so_far.metrics,
        scores=so_far.scores,
        trace=so_far.trace,
        costs=_costs(so_far.model),
        environment=describe_environment(),
        started_at=started_at,
        seconds=seconds,
    )


def _model_record(cell: "Cell", model: "LanguageModel | None") -> ModelRecord:
    source = cell.model.source
    return ModelRecord(
        name=source.name,
        location=source.location,
        revision=source.revision,
        weights_sha256=source.weights_sha256,
        architecture=cell.model.architecture,
        n_parameters=model.n_parameters if model else cell.model.n_parameters,
        dtype=cell.model.dtype,
        device=cell.model.device_name,
    )


def _forget_set_record(cell: "Cell", so_far: _Progressing) -> ForgetSetRecord:
    forget_set, model = so_far.forget_set, so_far.model
    if forget_set is None or model is None:
        return ForgetSetRecord(
            name=cell.data.source.title(cell.run),
            run=cell.run,
            content_sha256="",
            doc_ids=list(cell.data.doc_ids(cell.run, cell.limit)),
        )
    pairs = forget_set._pairs
    return ForgetSetRecord(
        name=forget_set.name,
        run=forget_set.run,
        content_sha256=forget_set.content_sha256,
        doc_ids=list(forget_set.rows.doc_ids),
        prefixes=_by_doc_id(model, forget_set.rows, forget_set.rows.prefix),
        suffixes=_by_doc_id(model, forget_set.rows, forget_set.rows.suffix),
        pair_doc_ids=list(pairs.doc_ids) if pairs is not None else [],
    )


def _by_doc_id(
    model: "LanguageModel", rows: "Sequences", part: "Callable[[int], list[int]]"
) -> dict[str, str]:
    return {doc_id: model.decode(part(row)) for row, doc_id in enumerate(rows.doc_ids)}


def _set_record(found: "EvaluationSet") -> EvaluationSetRecord:
    return EvaluationSetRecord(
        source=found.source,
        split=found.split,
        revision=found.revision,
        n=len(found.rows),
        sha256=found.sha256,
    )


def _stop_record(cell: "Cell", forget_set: "ForgetSet | None") -> StopRecord:
    """The line as this row's method applies it, its own rule and threshold included."""
    method: Any = find("methods", cell.method) if cell.role == "method" else Method
    rule = method.stop_rule(cell.protocol)
    if forget_set is None:  # it failed before the line was known
        return StopRecord(source=cell.stop, el=float("nan"), ma=float("nan"), rule=rule)
    line = forget_set.examiner.stop_line
    return StopRecord(
        source=line.source,
        el=line.el,
        ma=method.ma_threshold(cell.protocol, line),
        rule=rule,
        n_unseen=line.n_unseen,
    )


def _costs(model: "LanguageModel | None") -> dict[str, PhaseRecord]:
    if model is None:
        return {}
    return {name: PhaseRecord(**asdict(cost)) for name, cost in model.meter.phases.items()}


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
