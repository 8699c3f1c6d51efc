"""The plan of `unlearnbench attack`: every model that a results folder holds a result of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.experiments.attack_choice import DEFAULT
from unlearnbench.experiments.cell import Cell, identity_of
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import Plan, make_plans
from unlearnbench.results.record import attacked_model_in, unlearned_by
from unlearnbench.results.store import Store

if TYPE_CHECKING:
    from unlearnbench.results.record import Result

# Of a run's configuration, what decides neither its models nor what they are measured with.
_OF_LAUNCH = ("shard", "launcher", "jobs", "cell_timeout", "retries", "ray_address",
              "gpus_per_cell", "save_models", "profile", "track")  # fmt: skip
_OF_ATTACK = ("attacks", "attack_tasks")
# What an attack may be asked for some models only.
CHOOSING = ("model", "methods", "runs", "seeds")


@dataclass(frozen=True)
class AttackPlan:
    """The cells that attack a folder's models, and the experiments that these were made by."""

    experiments: tuple[Experiment, ...]
    plan: Plan


def plan_attacks(folder: Path, options: Mapping[str, Any], download: bool = True) -> AttackPlan:
    """The attacks that `options` name, of `Experiment`'s fields, on the models in a folder.

    The runs that made them are planned again from the configurations that lie beside the results.
    Without a name the attacks are all those that need no file.
    Raises `UserError` where there is nothing to attack, or nothing that can be had again.
    """
    results = [r for r in Store(folder).load_all(documents=False)[0] if r.attack is None]
    if not results:
        raise UserError(
            f"no results in {folder}; make some with: unlearnbench run --save-models --out {folder}"
        )
    for file in options.get("plugin", ()):
        registry.load_plugin_file(Path(file))
    experiments = _experiments(folder, results, options)
    try:
        plans = make_plans(experiments, download)
    except UserError:
        _check_without_attacks(folder, experiments, download)
        raise
    chosen = _chosen(options)
    warnings = [warning for plan in plans for warning in plan.warnings]
    wanted = [c for plan in plans for c in plan.cells if all(chosen_by(c) for chosen_by in chosen)]
    cells = {c.key: c for c in _attackable(wanted, results, folder / "models", warnings)}
    # Chosen methods or seeds that were not run: the references alone are not what was asked.
    of_methods = any(name in options for name in ("methods", "seeds"))
    if not cells or (of_methods and not any(c.role == "method" for c in cells.values())):
        raise UserError(_nothing(folder, results, plans, warnings))
    jobs = max(plan.jobs for plan in plans)
    plan = Plan(tuple(cells.values()), tuple(dict.fromkeys(warnings)), jobs)
    return AttackPlan(tuple(experiments), plan)


def _check_without_attacks(
    folder: Path, experiments: "Sequence[Experiment]", download: bool
) -> None:
    """Raise `UserError` where it is not the attacks, but the runs that cannot be planned again."""
    try:
        without = (_without_attacks(experiment.settings) for experiment in experiments)
        make_plans(
            [
                replace(experiment, attacks=(), attack_tasks=(), settings=tuple(settings))
                for experiment, settings in zip(experiments, without, strict=True)
            ],
            download,
        )
    except UserError as error:
        raise UserError(f"the models of {folder} cannot be made again: {error}") from error


def _experiments(
    folder: Path, results: "Sequence[Result]", options: Mapping[str, Any]
) -> list[Experiment]:
    """The experiments that lie beside the results, with the attacks that are asked for now."""
    files = sorted(folder.glob("experiments/*.toml"))
    if not files:
        imported = all(result.imported for result in results)
        why = "they were read from logs" if imported else "it has no experiments/*.toml"
        raise UserError(
            f"{folder} does not say how the models of its results were made ({why}), so there is "
            "no model to attack; run them with: unlearnbench run --save-models"
        )
    requested = {n: value for n, value in options.items() if n not in CHOOSING}
    own_settings = requested.pop("settings", ())
    _check_owners(own_settings)
    made: dict[str, Experiment] = {}
    for file in files:
        values = Experiment.from_toml(file)
        kept = {n: v for n, v in values.items() if n not in (*_OF_LAUNCH, *_OF_ATTACK)}
        settings = _without_attacks(kept.pop("settings", ()))
        plugins = (*kept.pop("plugin", ()), *requested.get("plugin", ()))
        now = {
            **{"attacks": (DEFAULT,), **requested, "out": str(folder)},
            "plugin": list(dict.fromkeys(plugins)),
            "settings": [*settings, *own_settings],
        }
        experiment = Experiment.parse({**kept, **now})
        made.setdefault(experiment.to_toml(), experiment)
    return list(made.values())


def _check_owners(settings: Iterable[str]) -> None:
    """Raise `UserError` for a setting of what was run already."""
    for text in settings:
        owner = text.partition(".")[0]
        if owner in {**registry.methods(), **registry.wrappers(), "protocol": None}:
            raise UserError(
                f"--set {text}: models are attacked as they were run; set what is of an attack or "
                "of a task, e.g. --set relearn.steps=0,20"
            )


def _without_attacks(settings: Iterable[str]) -> list[str]:
    """A run's settings but those of attacks, of which others may be asked for now."""
    return [text for text in settings if text.partition(".")[0] not in registry.attacks()]


def _chosen(options: Mapping[str, Any]) -> list[Any]:
    """Whether a cell is one of those that the options choose, option by option."""
    of_cell: dict[str, Any] = {
        "model": lambda cell: cell.main.requested,
        "methods": lambda cell: cell.method,
        "runs": lambda cell: cell.run,
        "seeds": lambda cell: cell.seed,
    }
    chosen = []
    parsed = Experiment.parse({name: options[name] for name in CHOOSING if name in options})
    for name in CHOOSING:
        if name in options:
            wanted, value = getattr(parsed, name), of_cell[name]
            of_methods = name in ("methods", "seeds")  # a reference row has neither
            chosen.append(
                lambda cell, wanted=wanted, value=value, of_methods=of_methods: (
                    value(cell) in wanted or (of_methods and cell.role != "method")
                )
            )
    return chosen


def _attackable(
    cells: "Sequence[Cell]", results: "Sequence[Result]", models: Path, warnings: list[str]
) -> "Iterable[Cell]":
    """The cells under attack whose model has a result that did not fail.

    What other software unlearned is attacked if it was kept; else nobody can make it again.
    """
    by_model: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.started_at, reverse=True):
        if result.status != "failed":
            by_model.setdefault(attacked_model_in(result.identity, False), []).append(result)
    for cell in cells:
        if cell.attack is None:
            continue
        alike = by_model.get(attacked_model_in(cell.identity, False), [])
        if cell.role != "method":
            yield from [cell] if alike else []
            continue

        def rank(result: "Result", cell: "Cell" = cell) -> tuple[bool, bool]:
            """By this software and kept comes first; the newest of equal ones."""
            assert cell.attack is not None
            is_own = unlearned_by(result.identity) == cell.attack.unlearned_by
            return is_own, (models / result.key).is_dir()

        best = max(alike, key=rank, default=None)
        if best is not None and any(rank(best)):
            yield _of(cell, best)
        elif best is not None:
            warnings.append(
                f"{cell.group}: {cell.label}, forget set {cell.run}: other software unlearned this "
                "model, and it was not kept; run it again: unlearnbench run --save-models"
            )


def _of(cell: "Cell", result: "Result") -> "Cell":
    """The cell that attacks the model of that very result."""
    assert cell.attack is not None
    by = unlearned_by(result.identity)
    changed = replace(cell, attack=replace(cell.attack, base=result.key, unlearned_by=by))
    return replace(changed, identity=identity_of(changed))


def _nothing(
    folder: Path, results: "Sequence[Result]", plans: "Sequence[Plan]", warnings: Sequence[str]
) -> str:
    """Why none of a folder's results can be attacked."""
    failed = sum(result.status == "failed" for result in results)
    if failed == len(results):
        return f"all {failed} results in {folder} failed, so there is no model to attack"
    if not any(cell.attack for plan in plans for cell in plan.cells):
        return f"{folder} holds reference rows only that are not attacked; run a method first"
    if lost := [warning for warning in warnings if "it was not kept" in warning]:
        return lost[0]
    return (
        f"none of the {len(results)} results in {folder} is of a model that these options choose, "
        "made with these data; see: unlearnbench attack --help"
    )
