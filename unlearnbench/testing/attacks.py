"""The check of attacks: two rows of the nano world are attacked, twice, and measured."""

import math
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.testing.contract import (
    FORGET_SET,
    N_ROWS,
    ContractError,
    check_described,
    process_untouched,
    world,
)

if TYPE_CHECKING:
    from unlearnbench.api import LoadedForgetSet
    from unlearnbench.attacking.attack import Attack, Point
    from unlearnbench.models.language_model import LanguageModel

Measured = dict[str, dict[str, dict[str, float]]]  # point -> metric -> doc_id -> value


def check_attack(attack: "type[Attack]", **settings: Any) -> Measured:
    """Attack the nano model with two rows, twice; what was measured, by point and metric.

    `settings` are the attack's own.

    Checked: the description; that there are points, each of a name of its own and not more than
    `n_points`; finite facts; a metric for each of its own scores, in the same direction; positions
    along its curve; the same measurements the second time; the forget set and the process's state
    as they were; and that weights which it does not own are untouched: those of the original.
    """
    check_described(attack)
    instance = attack(**settings)
    model, forget_set = world()
    _check_beforehand(instance, model, forget_set)
    first = _attacked(instance, model.copied(), forget_set)
    with process_untouched(attack.name):
        again = _attacked(instance, model.copied(), forget_set)
    if first != again:
        raise ContractError(
            f"{attack.name} gave other measurements the second time; draw from a generator that is "
            "seeded by self.seed only"
        )
    return first


def _check_beforehand(
    attack: "Attack", model: "LanguageModel", forget_set: "LoadedForgetSet"
) -> None:
    cell = forget_set.cell
    try:
        attack.check(model, cell.data.source, cell.run, ())
    except UserError as error:
        raise ContractError(f"{attack.name} refuses the nano world: {error}") from error
    if attack.n_points < 1 or attack.forward_tokens(N_ROWS, 100) < 0:
        raise ContractError(f"{attack.name}: n_points and forward_tokens are bounds, 1 and 0 least")


def _attacked(attack: "Attack", model: "LanguageModel", forget_set: "LoadedForgetSet") -> Measured:
    from unlearnbench.models.sequences import sequences_sha256

    rows = sequences_sha256(forget_set.rows, forget_set.pool)
    measured: Measured = {}
    try:
        for point in attack.apply(model, _target(attack, model, forget_set)):
            if point.name in measured:
                raise ContractError(f"{attack.name} has two points called '{point.name}'")
            _check_point(attack, point)
            measured[point.name] = _measurements(point, forget_set)
    except UserError as error:
        raise ContractError(f"{attack.name}: {error}") from error
    if not 1 <= len(measured) <= attack.n_points:
        raise ContractError(
            f"{attack.name} has {len(measured)} points, and says n_points = {attack.n_points}"
        )
    if sequences_sha256(forget_set.rows, forget_set.pool) != rows:
        raise ContractError(f"{attack.name} changed the forget set; give a point a context instead")
    return measured


def _target(attack: "Attack", model: "LanguageModel", forget_set: "LoadedForgetSet") -> Any:
    from unlearnbench.api import load_model, make_examiner
    from unlearnbench.attacking.attack import Target
    from unlearnbench.experiments.data_choice import evaluation_data
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.metrics.task import TEXTS, TaskContext

    texts, _, _ = evaluation_data(
        Experiment(), FORGET_SET, (TEXTS,) if "texts" in attack.needed(False) else ()
    )
    context = TaskContext(
        forget_set,
        texts,
        load_retrained=lambda: load_model("nano-retrained"),
        protocol=forget_set.protocol,
        limit=N_ROWS,
        examiner=make_examiner(model, forget_set, stop="paper"),
    )
    return Target(
        forget_set,
        context,
        load_original=model.copied,
        load_retrained=lambda: load_model("nano-retrained"),
    )


def _check_point(attack: "Attack", point: "Point") -> None:
    if (point.position is not None) != bool(attack.curve):
        raise ContractError(
            f"{attack.name}, {point.name}: points have positions if `curve` says what they count, "
            "and only then"
        )
    if wrong := [name for name, value in point.facts.items() if not math.isfinite(value)]:
        raise ContractError(f"{attack.name}, {point.name}: the fact '{wrong[0]}' is no number")
    if point.measured is None:
        return
    columns = {metric.name: metric for metric in point.measured.metrics}
    for name, score in point.measured.scores.items():
        if name not in columns:
            raise ContractError(f"{attack.name}: '{name}' is measured and has no Metric")
        if columns[name].higher_is_better != score.higher_is_better:
            raise ContractError(f"{attack.name}: metric and score '{name}' differ in direction")


def _measurements(point: "Point", forget_set: "LoadedForgetSet") -> dict[str, dict[str, float]]:
    """Its own scores, or how well the rows are memorised."""
    from unlearnbench.metrics.extraction import memorisation_accuracy

    if point.measured is not None:
        return {name: score.documents for name, score in point.measured.scores.items()}
    asked = point.context.forget_set if point.context else forget_set
    values = memorisation_accuracy(point.model, asked.rows, forget_set.protocol)
    return {"ma": dict(zip(asked.rows.doc_ids, values, strict=True))}
