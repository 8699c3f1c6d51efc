"""Lays out one experiment's cells: models x methods x forget sets x seeds, and references."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell, identity_of
from unlearnbench.experiments.choices import (
    check_revision,
    construct,
    cores,
    el_epochs_of,
    reference_roles,
    threads_of,
)
from unlearnbench.experiments.data_choice import DataChoice, choose_data
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import Chosen, choose_settings, tuned_rates_for
from unlearnbench.experiments.model_choice import ModelChoice, choose_model
from unlearnbench.experiments.plan import Plan, chosen_plugins
from unlearnbench.experiments.set_options import Overrides, parse_set, protocol_of
from unlearnbench.models.devices.strategy import n_processes
from unlearnbench.results.record import Role

REFERENCE_LABELS = {
    "before": "{family} (before unlearning)",
    "dedup": "{reference}",
    "retrained": "{family} (retrained)",
}
# A reference row trains nothing; one seed keeps it one cell whatever seeds the methods get.
REFERENCE_SEED = 42


class Planner:
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
        self.references = reference_roles(experiment.references)
        self.warnings: list[str] = []

    def plan(self) -> Plan:
        """The whole grid."""
        if not self.experiment.model:
            raise UserError("no model given; take --model nano-neo (all: unlearnbench list models)")
        check_revision(self.experiment)
        models = [self._model(self.experiment, name) for name in self.experiment.model]
        chosen = [(model, self.data(model)) for model in models]
        cells = [c for model, data in chosen for c in self.of_model(model, data)]
        distinct = {cell.key: cell for cell in cells}
        return Plan(tuple(distinct.values()), tuple(self.warnings), self._jobs(models))

    def _model(self, experiment: Experiment, name: str) -> ModelChoice:
        asked = ("model", _without_methods(experiment), name)
        if asked not in self.looked_up:
            self.looked_up[asked] = choose_model(experiment, name, self.download)
        found: ModelChoice = self.looked_up[asked]
        return found

    def data(self, model: ModelChoice) -> DataChoice:
        """The data for a model."""
        needs = tuple(dict.fromkeys(name for task in self.tasks.values() for name in task.needs))
        asked = ("data", _without_methods(self.experiment), self.protocol, model.asked, needs)
        if asked not in self.looked_up:
            self.looked_up[asked] = choose_data(
                self.experiment, model, self.protocol, needs, self.warnings
            )
        found: DataChoice = self.looked_up[asked]
        return found

    def of_model(self, model: ModelChoice, data: DataChoice) -> Iterator[Cell]:
        """The cells of one model: reference rows, then methods."""
        found = [(role, self._reference_model(role, model, data)) for role in self.references]
        # Two cells of one model would measure its tasks twice if they went side by side.
        for run in data.runs:
            for role, reference in found:
                if reference is not None:
                    yield self._reference(role, model, reference, data, run)
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
        if self.experiment.batch_size is not None and "batch_size" not in explicit:
            chosen.values["batch_size"] = self.experiment.batch_size
            chosen.origins["batch_size"] = "--batch-size"
        return chosen

    def _method(
        self, method: Any, chosen: Chosen, model: ModelChoice, data: DataChoice, run: str, seed: int
    ) -> Cell:
        made = construct(method, {**chosen.values, "seed": seed})
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
            threads=threads_of(experiment, parts["model"], data),
            tasks=tasks,
            el_epochs=el_epochs_of(experiment, data),
            limit=experiment.limit,
            task_limit=experiment.task_limit,
            models=self._models_folder(parts["role"]),
            traces=self._folder("traces") if experiment.profile else None,
        )
        return replace(cell, identity=identity_of(cell))

    def _models_folder(self, role: Role) -> str | None:
        kept = self.experiment.save_models and role == "method"
        return self._folder("models") if kept else None

    def _folder(self, name: str) -> str:
        # Absolute: a cell may run elsewhere than where it was asked for.
        return str(Path(self.experiment.out).absolute() / name)

    def _position(self, method: str) -> int:
        return list(self.methods).index(method) if method in self.methods else 0

    def _jobs(self, models: list[ModelChoice]) -> int:
        if n_processes() > 1:
            return 0  # `accelerate launch` has started the processes; each cell is trained by all
        if self.experiment.jobs is not None:
            return self.experiment.jobs
        return min(2, cores()) if all(model.is_nano for model in models) else 1


def _without_methods(experiment: Experiment) -> Experiment:
    """What of an experiment decides its models and data."""
    return replace(experiment, methods=(), settings=())


def make_plans(experiments: Sequence[Experiment], download: bool = True) -> list[Plan]:
    """The plan of each; what several of them ask in the same words is looked up once."""
    for file in dict.fromkeys(file for e in experiments for file in e.plugin):
        registry.load_plugin_file(Path(file))
    from unlearnbench.experiments.planner import Planner

    looked_up: dict[Any, Any] = {}
    return [Planner(e, download, True, looked_up).plan() for e in experiments]


def make_plan(experiment: Experiment, download: bool = True, with_tuned_rates: bool = True) -> Plan:
    """Check everything an experiment asks and lay out its cells; loads no weights.

    `with_tuned_rates` false leaves learning rates and epoch limits to the methods'
    own defaults: rates are tuned without those of an earlier tuning.  Raises
    `UserError` for a main model, forget set or setting that cannot be had;
    reference rows that cannot be had are warned about and left out.
    """
    for file in experiment.plugin:
        registry.load_plugin_file(Path(file))
    from unlearnbench.experiments.planner import Planner

    return Planner(experiment, download, with_tuned_rates, {}).plan()


def plan_cell(
    experiment: Experiment, model: ModelChoice, data: DataChoice | None = None
) -> tuple[Cell, tuple[str, ...]]:
    """The first cell of an experiment for a model that is loaded already, and what to warn of.

    The first is that of the first reference row if the experiment asks for any.  `data` were
    chosen before; without them they are chosen here.  Raises `UserError` as `make_plan` does.
    """
    planner = Planner(experiment, True, True, {})
    return next(planner.of_model(model, data or planner.data(model))), tuple(planner.warnings)
