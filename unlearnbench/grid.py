"""From an experiment to its cells: models x methods x forget sets x seeds, and references."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from unlearnbench import registry
from unlearnbench.cell import Cell, identity_of
from unlearnbench.data_choice import DataChoice, choose_data
from unlearnbench.errors import UserError, unknown
from unlearnbench.estimate import Size
from unlearnbench.experiment import Experiment
from unlearnbench.learning_rates import Chosen, choose_settings
from unlearnbench.model_aliases import aliases
from unlearnbench.model_choice import ModelChoice, choose_model
from unlearnbench.result import Role
from unlearnbench.set_options import Overrides, parse_set, protocol_of
from unlearnbench.tuned_rates import tuned_rates_for

REFERENCES: tuple[Role, ...] = ("before", "dedup", "retrained")
REFERENCE_LABELS = {
    "before": "{family} (before unlearning)",
    "dedup": "{reference}",
    "retrained": "{family} (retrained)",
}
# A reference row trains nothing; one seed keeps it one cell whatever seeds the methods get.
REFERENCE_SEED = 42


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment in the order of the table, and what could not be had."""

    cells: tuple[Cell, ...]
    warnings: tuple[str, ...]
    workers: int

    def size(self, cell: Cell) -> Size:
        """What a cell's cost estimate is made of."""
        return Size(
            n_rows=len(cell.data.doc_ids(cell.run, cell.limit)),
            length=200 if cell.protocol.sequence == "all" else 100,
            max_epochs=int(cell.settings.get("max_epochs", 0)),
            batch_size=int(cell.settings.get("batch_size", 1)),
            n_parameters=cell.model.n_parameters,
            vocabulary=cell.model.vocabulary,
            bytes_per_parameter=4 if cell.model.dtype == "float32" else 2,
        )


def make_plans(experiments: Sequence[Experiment], download: bool = True) -> list[Plan]:
    """The plan of each; what several of them ask in the same words is looked up once."""
    for file in dict.fromkeys(file for e in experiments for file in e.plugin):
        registry.load_plugin_file(Path(file))
    looked_up: dict[Any, Any] = {}
    return [_Planner(e, download, True, looked_up).plan() for e in experiments]


def make_plan(experiment: Experiment, download: bool = True, with_tuned_rates: bool = True) -> Plan:
    """Check everything an experiment asks and lay out its cells; loads no weights.

    `with_tuned_rates` false leaves learning rates and epoch limits to the methods'
    own defaults: rates are tuned without those of an earlier tuning.  Raises
    `UserError` for a main model, forget set or setting that cannot be had;
    reference rows that cannot be had are warned about and left out.
    """
    for file in experiment.plugin:
        registry.load_plugin_file(Path(file))
    return _Planner(experiment, download, with_tuned_rates, {}).plan()


class _Planner:
    """The parts of a plan that are looked up once."""

    def __init__(
        self,
        experiment: Experiment,
        download: bool,
        with_tuned_rates: bool,
        looked_up: dict[Any, Any],
    ) -> None:
        self.experiment, self.download = experiment, download
        self.with_tuned_rates, self.looked_up = with_tuned_rates, looked_up
        self.methods = chosen_plugins("methods", experiment.methods)
        self.tasks = chosen_plugins("tasks", experiment.tasks)
        self.overrides: Overrides = parse_set(experiment.settings, {**self.methods, **self.tasks})
        self.protocol = protocol_of(experiment.protocol, self.overrides)
        self.references = _references(experiment.references)
        self.warnings: list[str] = []

    def plan(self) -> Plan:
        """The whole grid."""
        if not self.experiment.model:
            raise UserError("no model given; take --model nano-neo (all: unlearnbench list models)")
        _check_revision(self.experiment)
        models = [self._model(self.experiment, name) for name in self.experiment.model]
        chosen = [(model, self._data(model)) for model in models]
        cells = [c for model, data in chosen for c in self._of_model(model, data)]
        distinct = {cell.key: cell for cell in cells}
        return Plan(tuple(distinct.values()), tuple(self.warnings), self._workers(models))

    def _model(self, experiment: Experiment, name: str) -> ModelChoice:
        asked = ("model", _without_methods(experiment), name)
        if asked not in self.looked_up:
            self.looked_up[asked] = choose_model(experiment, name, self.download)
        found: ModelChoice = self.looked_up[asked]
        return found

    def _data(self, model: ModelChoice) -> DataChoice:
        needs = tuple(dict.fromkeys(name for task in self.tasks.values() for name in task.needs))
        asked = ("data", _without_methods(self.experiment), model.asked, needs)
        if asked not in self.looked_up:
            self.looked_up[asked] = choose_data(self.experiment, model, needs, self.warnings)
        found: DataChoice = self.looked_up[asked]
        return found

    def _of_model(self, model: ModelChoice, data: DataChoice) -> Iterator[Cell]:
        for role in self.references:
            reference = self._reference_model(role, model, data)
            if reference is not None:
                yield from (self._reference(role, model, reference, data, r) for r in data.runs)
        for method in self.methods.values():
            chosen = self._settings(method, model, data)
            for run in data.runs:
                for seed in self.experiment.seeds:
                    yield self._method(method, chosen, model, data, run, seed)

    def _reference_model(
        self, role: Role, model: ModelChoice, data: DataChoice
    ) -> ModelChoice | None:
        if role == "before":
            return model
        name = model.alias.references.get(role) if model.alias else None
        # "Retrained" means without these very rows, which only the nano world can promise.
        if name is None or (role == "retrained" and not data.is_nano):
            if self.experiment.references != ("auto",):
                of = "" if name is None else " on these forget sets"
                self.warnings.append(
                    f"no {role} reference is known for '{model.asked}'{of}; left out"
                )
            return None
        try:
            # A revision is one of the main model's repository.
            return self._model(replace(self.experiment, revision=None), name)
        except UserError as error:
            self.warnings.append(f"reference row '{role}' is left out: {error}")
            return None

    def _reference(
        self, role: Role, main: ModelChoice, model: ModelChoice, data: DataChoice, run: str
    ) -> Cell:
        return self._cell(
            role=role,
            group=main.source.name,
            label=REFERENCE_LABELS[role].format(family=main.family, reference=model.family),
            model=model,
            main=main,
            method="none",
            method_label="none",
            settings={},
            origins={},
            data=data,
            run=run,
            seed=REFERENCE_SEED,
        )

    def _settings(self, method: Any, model: ModelChoice, data: DataChoice) -> Chosen:
        explicit = dict(self.overrides.get(method.name, {}))
        tuned = None
        if self.with_tuned_rates:
            tuned = tuned_rates_for(self.experiment, model, data.stop, self.warnings)
        chosen = choose_settings(method, explicit, model.n_parameters, self.protocol, tuned)
        if self.experiment.max_epochs is not None and "max_epochs" not in explicit:
            chosen.values["max_epochs"] = self.experiment.max_epochs
            chosen.origins["max_epochs"] = "--max-epochs"
        return chosen

    def _method(
        self, method: Any, chosen: Chosen, model: ModelChoice, data: DataChoice, run: str, seed: int
    ) -> Cell:
        made = _construct(method, {**chosen.values, "seed": seed})
        return self._cell(
            role="method",
            group=model.source.name,
            label=f"{model.family} + {method.label}",
            model=model,
            main=model,
            method=method.name,
            method_label=method.label,
            settings=asdict(made),
            origins=chosen.origins,
            data=data,
            run=run,
            seed=seed,
        )

    def _cell(self, **parts: Any) -> Cell:
        experiment = self.experiment
        data: DataChoice = parts["data"]
        tasks = {name: self.overrides.get(name, {}) for name in self.tasks}
        cell = Cell(
            **parts,
            protocol_name=experiment.protocol,
            protocol=self.protocol,
            stop=data.stop,
            position=self._position(parts["method"]),
            threads=_threads(experiment, parts["model"], data),
            tasks=tasks,
            el_epochs=_el_epochs(experiment, data),
            limit=experiment.limit,
            task_limit=experiment.task_limit,
        )
        return replace(cell, identity=identity_of(cell))

    def _position(self, method: str) -> int:
        return list(self.methods).index(method) if method in self.methods else 0

    def _workers(self, models: list[ModelChoice]) -> int:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            return 1  # `accelerate launch` has started the processes; each cell is trained by all
        if self.experiment.workers > 0:
            return self.experiment.workers
        return min(2, _cores()) if all(model.is_nano for model in models) else 1


def _without_methods(experiment: Experiment) -> Experiment:
    """What of an experiment decides its models and data."""
    return replace(experiment, methods=(), settings=())


def chosen_plugins(kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The named plugins, or every built-in one and every one from a plugin file."""
    if names:
        return {name: registry.find(kind, name) for name in names}
    known: dict[str, type] = getattr(registry, kind)()
    return {name: plugin for name, plugin in known.items() if registry.is_default(plugin)}


def _check_revision(experiment: Experiment) -> None:
    """A revision names a state of one repository; raises `UserError` where there are more."""
    known = aliases()
    on_hub = [
        name
        for name in experiment.model
        if not Path(name).expanduser().is_dir() and (name not in known or known[name].hub_id)
    ]
    if experiment.revision is not None and len(on_hub) > 1:
        raise UserError(
            f"--revision {experiment.revision} is a revision of one model, not of "
            f"{len(on_hub)} ({', '.join(on_hub)}); run them one at a time: --model {on_hub[0]}"
        )


def _references(asked: tuple[str, ...]) -> tuple[Role, ...]:
    if asked == ("auto",):
        return REFERENCES
    if asked in (("none",), ()):
        return ()
    for name in asked:
        if name not in REFERENCES:
            known = ("auto", "none", *REFERENCES)
            raise unknown("reference", name, known, "unlearnbench run --help")
    return tuple(role for role in REFERENCES if role in asked)


def _construct(method: Any, values: dict[str, Any]) -> Any:
    try:
        return method(**values)
    except (ValueError, TypeError) as error:
        raise UserError(f"{method.name}: {error}; see: unlearnbench show {method.name}") from error


def _el_epochs(experiment: Experiment, data: DataChoice) -> Literal["all", "deciding"]:
    if experiment.el_epochs == "auto":
        return "deciding" if data.is_nano else "all"
    return experiment.el_epochs


def _threads(experiment: Experiment, model: ModelChoice, data: DataChoice) -> int:
    if experiment.threads > 0:
        return experiment.threads
    return 1 if model.is_nano or data.is_nano else _cores()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
