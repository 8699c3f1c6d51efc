"""Measures a cell's model: what tasks are given, and each task from the same state."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.metrics.task import Measurement, TaskContext, columns_of
from unlearnbench.models.devices import ranks
from unlearnbench.registry import find
from unlearnbench.running.cell_record import CellState
from unlearnbench.running.environment import fix_randomness, put_back_after
from unlearnbench.running.shared_measurements import is_shared, scores_of_untouched

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.items import Split
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.metrics.task import Task
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.examiner import Examiner


def splits_of(cell: "Cell") -> "tuple[Split, ...]":
    """What tasks measure; raises `UserError` where it is no longer that of the cell's identity."""
    splits = cell.data.splits(cell.run, cell.limit)
    planned = (cell.identity.get("benchmark") or {}).get("splits", {})
    if changed := [split.name for split in splits if planned.get(split.name) != split.sha256]:
        raise UserError(
            f"split '{changed[0]}' of benchmark {cell.data.source.title(cell.run)} has changed "
            "since this run began; run the same command again"
        )
    return splits


def context_of(
    cell: "Cell", forget_set: "ForgetSet", splits: "tuple[Split, ...]", examiner: "Examiner"
) -> TaskContext:
    """What a cell's tasks may look at besides the model."""
    return TaskContext(
        forget_set,
        cell.data.texts,
        sets=cell.data.sets,
        splits=splits,
        load_retrained=cell.retrained.load if cell.retrained else None,
        protocol=cell.protocol,
        limit=cell.task_limit,
        examiner=examiner,
    )


def tasks_of(cell: "Cell") -> "dict[str, Task]":
    """A cell's tasks with their settings, by name."""
    return {name: find("tasks", name)(**settings) for name, settings in cell.tasks.items()}


def measure_model(
    cell: "Cell",
    model: "LanguageModel",
    forget_set: "ForgetSet",
    splits: "tuple[Split, ...]",
    examiner: "Examiner",
    state: CellState,
) -> None:
    """Put what the cell's tasks measure of the model into its state."""
    context = context_of(cell, forget_set, splits, examiner)
    tasks = tasks_of(cell)

    def measured(name: str, measure: "Callable[[], Measurement]") -> Measurement:
        if not cell.is_trained and is_shared(cell, tasks[name]):
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
