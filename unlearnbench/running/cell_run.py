"""Runs one cell: load the model, make it forget, measure, and give the whole record back."""

import logging
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import redact, visible
from unlearnbench.metrics.task import Measurement, TaskContext, columns_of
from unlearnbench.models.devices import ranks
from unlearnbench.models.devices.meter import OTHER, Meter, advancing
from unlearnbench.registry import find
from unlearnbench.results.files import fault_in
from unlearnbench.results.record import Result
from unlearnbench.running.cell_record import CellState, result_of
from unlearnbench.running.checks import MethodInputs, check_unlearned
from unlearnbench.running.environment import fix_randomness, put_back_after
from unlearnbench.running.memory.advice import out_of_memory_advice
from unlearnbench.running.memory.process import keep_small
from unlearnbench.running.progress import PhaseProgress, logger
from unlearnbench.running.shared_measurements import make_examiner, scores_of_untouched
from unlearnbench.running.tracing import recording

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.items import Split
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.metrics.task import Task
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.epochs import UnlearnProgress
    from unlearnbench.unlearning.examiner import Examiner
    from unlearnbench.unlearning.method import Method


def run_cell(cell: "Cell") -> Result:
    """Run one cell from a fresh model; depends on nothing that ran before in this process.

    Whatever goes wrong inside becomes a failed result, and so does what a plugin put into the
    result if it could not be read again; only an interrupt passes.
    """
    started_at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    state, error = CellState(), None
    fix_randomness(cell.seed, cell.threads)
    keep_small(cell)
    try:
        with recording(cell), ranks.together(), advancing(PhaseProgress(cell.title)):
            _unlearn_and_measure(cell, state)
            if state.model is not None:
                state.model.meter.sum_over_processes()
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # a third party's method may even exit; the others go on
        error = _harmless(out_of_memory_advice(problem, cell) or _in_one_line(problem))
        logger.debug("%s failed:\n%s", cell.title, redact(traceback.format_exc()).rstrip())
    seconds = time.perf_counter() - started
    try:
        result = result_of(cell, state, error, started_at, seconds)
        if (wrong := fault_in(result)) is None:
            return result
    except Exception as problem:  # of pydantic, or of what the plugin did to the forget set
        wrong = _in_one_line(problem)
    message = error or f"its result cannot be stored: {wrong}"
    return result_of(cell, CellState(), message, started_at, seconds)


def lost_result(cell: "Cell", reason: str) -> Result:
    """The result of a cell whose process is gone: failed, with what is known from outside."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return result_of(cell, CellState(), _harmless(reason), now, 0.0)


def _unlearn_and_measure(cell: "Cell", state: CellState) -> None:
    meter = Meter()
    with meter.phase(OTHER):
        with meter.phase("load"):
            state.model = model = cell.model.load()
            model.meter = meter
        examiner = make_examiner(cell, model)
        forget_set = cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol)
        splits = _splits(cell)  # before anything is trained
        state.forget_set, state.stop_line = forget_set, examiner.stop_line
        if cell.role == "method":
            model.strategy = cell.model.strategy
            method = find("methods", cell.method)(**cell.settings)
            state.trace = unlearn(method, model, forget_set, examiner, cell.title)
            if state.trace.outcome == "collapsed":
                return  # there is nothing left to measure
            if cell.models is not None:
                from unlearnbench.models.saving import save_model

                save_model(model, Path(cell.models) / cell.key)
        _measure(cell, model, forget_set, splits, examiner, state)


def _splits(cell: "Cell") -> "tuple[Split, ...]":
    """What tasks measure; raises `UserError` where it is no longer that of the cell's identity."""
    splits = cell.data.splits(cell.run, cell.limit)
    planned = (cell.identity.get("benchmark") or {}).get("splits", {})
    if changed := [split.name for split in splits if planned.get(split.name) != split.sha256]:
        raise UserError(
            f"split '{changed[0]}' of benchmark {cell.data.source.title(cell.run)} has changed "
            "since this run began; run the same command again"
        )
    return splits


def _measure(
    cell: "Cell",
    model: "LanguageModel",
    forget_set: "ForgetSet",
    splits: "tuple[Split, ...]",
    examiner: "Examiner",
    state: CellState,
) -> None:
    context = TaskContext(
        forget_set,
        cell.data.texts,
        sets=cell.data.sets,
        splits=splits,
        load_retrained=cell.retrained.load if cell.retrained else None,
        protocol=cell.protocol,
        limit=cell.task_limit,
        examiner=examiner,
    )
    tasks = {name: find("tasks", name)(**settings) for name, settings in cell.tasks.items()}

    def measured(name: str, measure: "Callable[[], Measurement]") -> Measurement:
        if cell.role != "method" and tasks[name].is_of_model_alone:
            return scores_of_untouched(cell, name, model, measure)
        return measure()

    for name, measurement in measure_tasks(
        tasks, model, context, cell.seed, cell.threads, measured
    ):
        metrics = columns_of(tasks[name], measurement)
        state.scores[name] = measurement.scores
        state.metrics += [replace(metric, task=name) for metric in metrics]
        state.continuations |= measurement.continuations


def measure_tasks(
    tasks: "Mapping[str, Task]",
    model: "LanguageModel",
    context: TaskContext,
    seed: int,
    threads: int,
    measured: "Callable[[str, Callable[[], Measurement]], Measurement]" = (
        lambda _, measure: measure()
    ),
) -> "Iterator[tuple[str, Measurement]]":
    """What one task after the other measured, checked; `measured` may know it already.

    Raises `UserError` for a task that returns what is no score.
    """

    def measurement(name: str) -> Measurement:
        # Whatever a method or another task drew, every task starts from the same state.
        fix_randomness(seed, threads)

        def measure() -> Measurement:
            with model.meter.phase(name), put_back_after():
                returned = tasks[name].measure(model, context)
            return Measurement.of(tasks[name], returned)

        return measured(name, measure)

    return ranks.each_by_one(list(tasks), measurement)


def unlearn(
    method: "Method",
    model: "LanguageModel",
    forget_set: "ForgetSet",
    examiner: "Examiner",
    title: str,
) -> "UnlearnTrace":
    """Have the method change the model, and check that it left all else as it was given.

    Where the training stands is logged under `title`.  Raises `UserError` for what a plugin did
    wrong.
    """
    from unlearnbench.unlearning.epochs import listening

    inputs = MethodInputs.of(model, forget_set)
    with put_back_after(), listening(_narrator(title)):
        returned = method.unlearn(model, forget_set, examiner)
    # Where several processes train the cell, all of them must know if one has come off badly.
    traces = ranks.gathered(lambda: check_unlearned(returned, model, forget_set, inputs))
    trace = traces[ranks.rank()]
    model.network.eval()
    ranks.same_weights(model.network)
    return trace


def _narrator(title: str, every: float = 20.0) -> "Callable[[UnlearnProgress], None]":
    """Logs where an unlearning run stands; shows it at most once in so many seconds."""
    last = time.monotonic()

    def log_epoch(now: "UnlearnProgress") -> None:
        nonlocal last
        if now.record is None:
            return
        is_due = time.monotonic() - last >= every
        if is_due:
            last = time.monotonic()
        means = ", ".join(
            f"{name} {'not measured' if math.isnan(value) else f'{value:.3f}'}"
            for name, value in now.record.metrics.items()
        )
        level = logging.INFO if is_due else logging.DEBUG
        logger.log(level, "  %s: epoch %d of %d: %s", title, now.epoch, now.max_epochs, means)

    return log_epoch


def _in_one_line(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _harmless(text: str) -> str:
    # A file name that is no text comes with characters that cannot be written.
    writable = text.encode("utf-8", "backslashreplace").decode()
    return redact(visible(" ".join(writable.split())))[:500]
