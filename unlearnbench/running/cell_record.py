"""From what is known of a cell to its result: the record of a success or of a failure."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from unlearnbench.registry import find
from unlearnbench.results.record import (
    AttackRecord,
    BenchmarkRecord,
    EvaluationSetRecord,
    ForgetSetRecord,
    MethodRecord,
    ModelRecord,
    PhaseRecord,
    Result,
    SplitRecord,
    Status,
    StopRecord,
    attacked_model_in,
)
from unlearnbench.running.environment import describe_environment
from unlearnbench.unlearning.method import Method

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.stop_line import StopLine
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.results.score import Metric, Score


@dataclass
class CellState:
    """What is known of a cell so far; a failure is recorded with as much of it as there is."""

    model: "LanguageModel | None" = None
    forget_set: "ForgetSet | None" = None
    stop_line: "StopLine | None" = None
    trace: "UnlearnTrace | None" = None
    attack: "AttackRecord | None" = None
    metrics: "list[Metric]" = field(default_factory=list)
    scores: dict[str, dict[str, "Score"]] = field(default_factory=dict)
    continuations: dict[str, str] = field(default_factory=dict)  # by doc_id


def _status(error: str | None, trace: "UnlearnTrace | None") -> tuple[Status, str | None]:
    if error is not None:
        return "failed", error
    if trace is not None and trace.outcome == "collapsed":
        return "failed", f"collapsed: {trace.reason}"
    if trace is not None and trace.outcome == "not_forgotten":
        return "not_forgotten", None
    return "ok", None


def result_of(
    cell: "Cell", state: CellState, error: str | None, started_at: str, seconds: float
) -> Result:
    """The cell's result, failed if there is an error; seconds are wall-clock time."""
    status, message = _status(error, state.trace)
    meter = state.model.meter if state.model else None
    phases = meter.phases if meter else {}
    return Result(
        key=cell.key,
        identity=cell.identity,
        status=status,
        error=message,
        role=cell.role,
        group=cell.group,
        label=cell.label,
        model=_model_record(cell, state.model),
        method=MethodRecord(
            name=cell.method,
            label=cell.method_label,
            settings=cell.settings,
            origins=cell.origins,
        ),
        forget_set=_forget_set_record(cell, state),
        protocol_name=cell.protocol_name,
        protocol=asdict(cell.protocol),
        stop=_stop_record(cell, state.stop_line),
        benchmark=_benchmark_record(cell, state.model),
        attack=state.attack or attack_record(cell),
        sets={
            name: EvaluationSetRecord(
                source=read.source,
                split=read.split,
                revision=read.revision,
                n=len(read.rows),
                sha256=read.sha256,
            )
            for name, read in cell.data.sets.items()
        },
        seed=cell.seed,
        position=cell.position,
        metrics=state.metrics,
        scores=state.scores,
        continuations=state.continuations,
        trace=state.trace,
        costs={name: PhaseRecord(**asdict(cost)) for name, cost in phases.items()},
        peak_memory_of=meter.peaks_are_of if meter else "",
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
        is_synthetic=source.is_synthetic,
    )


def _forget_set_record(cell: "Cell", state: CellState) -> ForgetSetRecord:
    forget_set, model = state.forget_set, state.model
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


def _benchmark_record(cell: "Cell", model: "LanguageModel | None") -> BenchmarkRecord | None:
    benchmark = cell.data.benchmark
    if benchmark is None:
        return None
    source: Any = cell.data.source
    splits = cell.data.splits(cell.run, cell.limit)
    return BenchmarkRecord(
        name=benchmark.name,
        title=benchmark.definition.title,
        licence=benchmark.definition.licence,
        split=cell.run,
        template=source.template.resolved(model) if model else "plain",
        columns=list(benchmark.definition.columns),
        published=benchmark.definition.published,
        splits={
            split.name: SplitRecord(
                role=split.role,
                source=split.source,
                n=len(split if cell.task_limit is None else split.first(cell.task_limit)),
                sha256=split.sha256,
            )
            for split in splits
        },
    )


def attack_record(cell: "Cell", made_again: bool = False) -> AttackRecord | None:
    """The attack that a cell plans, without its points yet; None where it plans none."""
    if cell.attack is None:
        return None
    kind: Any = find("attacks", cell.attack.name)
    return AttackRecord(
        name=cell.attack.name,
        label=cell.attack.label,
        settings=cell.attack.settings,
        model=attacked_model_in(cell.identity),
        made_again=made_again,
        curve=kind.curve,
        describes_model=kind.describes_model,
        counts_in_worst_case=kind.counts_in_worst_case,
        points=[],
    )


def _by_doc_id(
    model: "LanguageModel", rows: "Sequences", part: "Callable[[int], list[int]]"
) -> dict[str, str]:
    return {doc_id: model.decode(part(row)) for row, doc_id in enumerate(rows.doc_ids)}


def _stop_record(cell: "Cell", line: "StopLine | None") -> StopRecord:
    """The line as this row's method applies it, its own rule and threshold included."""
    method: Any = find("methods", cell.method) if cell.is_trained else Method
    rule = method.stop_rule(cell.protocol)
    if line is None:  # it failed before the line was known
        return StopRecord(source=cell.stop, el=float("nan"), ma=float("nan"), rule=rule)
    return StopRecord(
        source=line.source,
        el=line.el,
        ma=method.ma_threshold(cell.protocol, line),
        rule=rule,
        n_unseen=line.n_unseen,
    )
