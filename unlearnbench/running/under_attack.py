"""Runs a cell under attack: has the model that is attacked, attacks it, measures each point."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import attack_files
from unlearnbench.metrics.task import TaskContext, columns_of
from unlearnbench.registry import find
from unlearnbench.results.record import AttackRecord, PointRecord
from unlearnbench.running.cell_record import attack_record
from unlearnbench.running.environment import fix_randomness, put_back_after
from unlearnbench.running.measuring import context_of, measure_tasks, splits_of, tasks_of
from unlearnbench.running.progress import logger
from unlearnbench.running.shared_measurements import make_examiner
from unlearnbench.running.unlearned import kept_model, load_kept, one_at_a_time, unlearn_and_keep

if TYPE_CHECKING:
    from pathlib import Path

    from unlearnbench.data.items import Split
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.models.devices.meter import Meter
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.score import Metric, Score
    from unlearnbench.running.cell_record import CellState
    from unlearnbench.unlearning.examiner import Examiner

PHASE = "attack"


def attack_and_measure(cell: "Cell", state: "CellState", meter: "Meter") -> None:
    """Put what is measured under the cell's attack into its state, point by point."""
    assert cell.attack is not None
    attack: Attack = find("attacks", cell.attack.name)(**cell.attack.settings)
    splits = splits_of(cell)
    _check_files(cell)
    made_again = False
    with one_at_a_time(cell):
        kept = kept_model(cell) if cell.is_trained else None
        model, examiner = _loaded(cell, state, meter, kept)
        if cell.is_trained and kept is None:
            made_again = True
            _unlearn_again(cell, state, model, examiner)
    state.attack = attack_record(cell, made_again)
    target = _target(cell, state, splits, examiner)
    fix_randomness(attack.seed, cell.threads)
    for point in _points(attack, model, target):
        examiner.forget()  # what is measured here must not hang on the points before
        _measure(cell, state, attack, point, target.context)
        fix_randomness(attack.seed, cell.threads)  # whatever tasks drew, the attack goes on alike


def _check_files(cell: "Cell") -> None:
    """Raise `UserError` where a file of the attack is not that of the cell's identity."""
    planned = cell.identity["attack"]["files"]
    if changed := [n for n, sha256 in attack_files(cell).items() if planned.get(n) != sha256]:
        raise UserError(
            f"the file of the attack's '{changed[0]}' has changed since this run began; run the "
            "same command again"
        )


def _loaded(
    cell: "Cell", state: "CellState", meter: "Meter", kept: "Path | None"
) -> "tuple[LanguageModel, Examiner]":
    with meter.phase("load"):
        model = cell.model.load() if kept is None else load_kept(cell, kept)
        state.model = model
        model.meter = meter
    model.strategy = cell.model.strategy  # whoever trains on, trains all models alike
    # Points are many, and nobody asks for one again: none is worth keeping.
    examiner = replace(make_examiner(cell, model, is_fresh=kept is None), known_as=None)
    state.forget_set = cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol)
    state.stop_line = examiner.stop_line
    return model, examiner


def _unlearn_again(
    cell: "Cell", state: "CellState", model: "LanguageModel", examiner: "Examiner"
) -> None:
    assert cell.attack is not None
    assert state.forget_set is not None
    logger.info("%s: the unlearned model was not kept; it is unlearned again", cell.title)
    trace = unlearn_and_keep(cell, model, state.forget_set, examiner, cell.attack.base)
    if trace.outcome == "collapsed":
        raise UserError(f"the method collapsed ({trace.reason}), so there is nothing to attack")


def _target(
    cell: "Cell", state: "CellState", splits: "tuple[Split, ...]", examiner: "Examiner"
) -> Target:
    assert state.forget_set is not None
    assert state.model is not None
    meter = state.model.meter

    def loader(choice: Any) -> Any:
        def load() -> "LanguageModel":
            model: LanguageModel = choice.load()
            model.meter = meter
            return model

        return load if choice is not None else None

    measured = tuple(split for split in splits if split.role in ("forget", "holdout"))
    return Target(
        forget_set=state.forget_set,
        context=replace(context_of(cell, state.forget_set, measured, examiner), under_attack=True),
        retained=tuple(split for split in splits if split.role == "retain"),
        load_original=loader(cell.main),
        load_retrained=loader(cell.retrained),
    )


def _points(attack: Attack, model: "LanguageModel", target: Target) -> Iterator[Point]:
    """The attack's points, what it does between them counted as its own phase."""
    points = iter(attack.apply(model, target))
    while True:
        with model.meter.phase(PHASE), put_back_after():
            point = next(points, None)
        if point is None:
            return
        point.model.network.eval()
        yield point


def _measure(
    cell: "Cell", state: "CellState", attack: Attack, point: Point, context: TaskContext
) -> None:
    assert state.attack is not None
    _check(point, attack, state.attack)
    assert state.model is not None
    point.model.meter = state.model.meter
    if (own := point.measured) is not None:
        _put(state, point, attack.name, own.scores, own.metrics)
    else:
        tasks = tasks_of(cell)
        own_context = context if point.context is None else point.context
        measured = measure_tasks(tasks, point.model, own_context, cell.seed, cell.threads)
        for name, measurement in measured:
            _put(state, point, name, measurement.scores, columns_of(tasks[name], measurement))
    state.attack.points.append(
        PointRecord(
            name=point.name,
            label=point.label,
            position=point.position,
            facts={name: float(value) for name, value in point.facts.items()},
        )
    )


def _put(
    state: "CellState",
    point: Point,
    task: str,
    scores: "dict[str, Score]",
    metrics: "tuple[Metric, ...]",
) -> None:
    state.scores[f"{point.name}/{task}"] = scores
    known = {(metric.task, metric.name) for metric in state.metrics}
    named = [replace(metric, task=task) for metric in metrics]
    state.metrics += [metric for metric in named if (task, metric.name) not in known]


def _check(point: Point, attack: Attack, record: AttackRecord) -> None:
    """Raise `UserError` for a point that could not be told from another, or not stored."""
    if point.name in {done.name for done in record.points}:
        raise UserError(f"attack '{attack.name}' has two points called '{point.name}'")
    if wrong := [name for name, value in point.facts.items() if not math.isfinite(value)]:
        raise UserError(f"attack '{attack.name}', {point.name}: the fact '{wrong[0]}' is no number")
    measured = point.measured
    if measured is None:
        return
    if missing := set(measured.scores) - {metric.name for metric in measured.metrics}:
        raise UserError(
            f"attack '{attack.name}' measured '{min(missing)}' and gives no metric of that name: "
            "Measurement(scores, metrics=(Metric(...),))"
        )
