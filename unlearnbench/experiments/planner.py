"""Lays out an experiment's cells: models x methods x forget sets x seeds, and references."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unlearnbench import registry
from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.cell import Cell, identity_of
from unlearnbench.experiments.data_choice import DataChoice, choose_data
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import tuned_rates_for
from unlearnbench.experiments.method_settings import (
    Chosen,
    Overrides,
    choose_settings,
    construct,
    parse_set,
    protocol_of,
)
from unlearnbench.experiments.model_choice import ModelChoice, choose_model
from unlearnbench.models.aliases import aliases
from unlearnbench.models.devices.strategy import n_processes
from unlearnbench.results.record import Role
from unlearnbench.unlearning.method import check_unlearn

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
    jobs: int  # cells at a time, each in a process of its own; 0: in this process


class Planner:
    """The parts of a plan that are looked up once."""

    def __init__(
        self,
        experiment: Experiment,
        download: bool = True,
        with_tuned_rates: bool = True,
        cache: dict[Any, Any] | None = None,
    ) -> None:
        self.experiment, self.download = experiment, download
        self.with_tuned_rates = with_tuned_rates
        self.cache = {} if cache is None else cache  # of models and data, by what was requested
        self.methods = chosen_plugins("methods", experiment.methods)
        self.tasks = chosen_plugins("tasks", experiment.tasks)
        self.overrides: Overrides = parse_set(experiment.settings, {**self.methods, **self.tasks})
        self.protocol = protocol_of(experiment.protocol, self.overrides)
        self.references = _reference_roles(experiment.references)
        self.warnings: list[str] = []

    def plan(self) -> Plan:
        """The whole grid."""
        if not self.experiment.model:
            raise UserError("no model given; take --model nano-neo (all: unlearnbench list models)")
        _check_revision(self.experiment)
        models = [self._model(self.experiment, name) for name in self.experiment.model]
        chosen = [(model, self.data(model)) for model in models]
        cells = [c for model, data in chosen for c in self.of_model(model, data)]
        distinct = {cell.key: cell for cell in cells}
        warnings = tuple(dict.fromkeys(self.warnings))
        return Plan(tuple(distinct.values()), warnings, self._jobs(models))

    def _model(self, experiment: Experiment, name: str) -> ModelChoice:
        key = ("model", replace(experiment, methods=(), settings=()), name)
        if key not in self.cache:
            self.cache[key] = choose_model(experiment, name, self.download)
        model: ModelChoice = self.cache[key]
        return model

    @property
    def needs(self) -> tuple[str, ...]:
        """The evaluation sets that the tasks read, by name."""
        return tuple(dict.fromkeys(name for task in self.tasks.values() for name in task.needs))

    def data(self, model: ModelChoice) -> DataChoice:
        """The data for a model."""
        asking = replace(self.experiment, methods=(), settings=())
        key = ("data", asking, self.protocol, model.requested, self.needs)
        if key not in self.cache:
            self.cache[key] = choose_data(self.experiment, model, self.protocol, self.needs)
        data: DataChoice
        data, warnings = self.cache[key]
        self.warnings += warnings
        return data

    def of_model(self, model: ModelChoice, data: DataChoice) -> Iterator[Cell]:
        """The cells of one model: reference rows, then methods."""
        models = [(role, self._reference_model(role, model, data)) for role in self.references]
        # Two cells of one model would measure its tasks twice if they went side by side.
        for run in data.runs:
            for role, reference in models:
                if reference is not None:
                    label = REFERENCE_LABELS[role]
                    yield self._cell(
                        role=role,
                        label=label.format(family=model.family, reference=reference.family),
                        model=reference,
                        main=model,
                        method="none",
                        method_label="none",
                        settings={},
                        origins={},
                        data=data,
                        run=run,
                        seed=REFERENCE_SEED,
                    )
        for method in self.methods.values():
            chosen = self.settings(method, model, data)
            for run in data.runs:
                for seed in self.experiment.seeds:
                    yield self._cell(
                        role="method",
                        label=f"{model.family} + {method.label}",
                        model=model,
                        main=model,
                        method=method.name,
                        method_label=method.label,
                        settings=asdict(construct(method, {**chosen.values, "seed": seed})),
                        origins=chosen.origins,
                        data=data,
                        run=run,
                        seed=seed,
                    )

    def _reference_model(
        self, role: Role, model: ModelChoice, data: DataChoice
    ) -> ModelChoice | None:
        if role == "before":
            return model
        name = model.alias.references.get(role) if model.alias else None
        # "Retrained" means without these very rows, which only a world's own data can promise.
        is_own = data.world is not None and data.world is model.world
        if name is None or (role == "retrained" and not is_own):
            if self.experiment.references != ("auto",):
                of = "" if name is None else " on these forget sets"
                self.warnings.append(
                    f"no {role} reference is known for '{model.requested}'{of}; left out"
                )
            return None
        try:
            # A revision is one of the main model's repository.
            return self._model(replace(self.experiment, revision=None), name)
        except UserError as error:
            self.warnings.append(f"reference row '{role}' is left out: {error}")
            return None

    def settings(self, method: Any, model: ModelChoice, data: DataChoice) -> Chosen:
        """What a method is run with, but its seed."""
        tuned = None
        if self.with_tuned_rates:
            tuned, warning = tuned_rates_for(self.experiment, model)
            self.warnings += [warning] if warning else []
        explicit = self.overrides.get(method.name, {})
        return choose_settings(
            method, explicit, self.experiment, model.n_parameters, self.protocol, tuned, data.stop
        )

    def _cell(self, **parts: Any) -> Cell:
        experiment = self.experiment
        data: DataChoice = parts["data"]
        world = data.world or parts["model"].world
        out = Path(experiment.out).absolute()  # a cell may run elsewhere than here
        methods, is_method = list(self.methods), parts["role"] == "method"
        by_default = data.world.el_epochs if data.world else "all"
        cell = Cell(
            **parts,
            group=parts["main"].source.name,
            protocol_name=experiment.protocol,
            protocol=self.protocol,
            stop=data.stop,
            position=methods.index(parts["method"]) if is_method else 0,
            threads=experiment.threads or (world.threads if world else cores()),
            tasks={name: self.overrides.get(name, {}) for name in self.tasks},
            el_epochs=by_default if experiment.el_epochs == "auto" else experiment.el_epochs,
            limit=experiment.limit,
            task_limit=experiment.task_limit,
            models=str(out / "models") if is_method and experiment.save_models else None,
            traces=str(out / "traces") if experiment.profile else None,
        )
        return replace(cell, identity=identity_of(cell))

    def _jobs(self, models: list[ModelChoice]) -> int:
        if n_processes() > 1:
            return 0  # `accelerate launch` has started the processes; each cell is trained by all
        if self.experiment.jobs is not None:
            return self.experiment.jobs
        return min(cores(), *(model.world.jobs if model.world else 1 for model in models))


def _check_revision(experiment: Experiment) -> None:
    """A revision names a state of one repository; raises `UserError` where there are more."""
    ours = {name for name, alias in aliases().items() if not alias.hub_id}
    on_hub = [
        name
        for name in experiment.model
        if not Path(name).expanduser().is_dir() and name not in ours
    ]
    if experiment.revision is not None and len(on_hub) > 1:
        raise UserError(
            f"--revision {experiment.revision} is a revision of one model, not of "
            f"{len(on_hub)} ({', '.join(on_hub)}); run them one at a time: --model {on_hub[0]}"
        )


def _reference_roles(requested: tuple[str, ...]) -> tuple[Role, ...]:
    """The requested reference rows; raises `UserError` for one that does not exist."""
    if requested == ("auto",):
        return REFERENCES
    if requested in (("none",), ()):
        return ()
    for name in requested:
        if name not in REFERENCES:
            available = ("auto", "none", *REFERENCES) if len(requested) == 1 else REFERENCES
            raise unknown("reference", name, available, "unlearnbench run --help")
    return tuple(role for role in REFERENCES if role in requested)


def chosen_plugins(kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The named plugins, or every built-in one and every one from a plugin file.

    Raises `UserError` for a name that is unknown, and for a method that cannot be called.
    """
    if names:
        chosen = {name: registry.find(kind, name) for name in names}
    else:
        chosen = {n: p for n, p in registry.plugins(kind).items() if registry.is_default(p)}
    if kind == "methods":
        for method in chosen.values():
            check_unlearn(method)
    return chosen


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_plans(
    experiments: Sequence[Experiment], download: bool = True, with_tuned_rates: bool = True
) -> list[Plan]:
    """Check everything that experiments ask and lay out the cells of each; loads no weights.

    What several of them ask in the same words is looked up once.  `with_tuned_rates` false leaves
    learning rates and epoch limits to the methods' own defaults: rates are tuned without those of
    an earlier tuning.  Raises `UserError` for a main model, forget set or setting that cannot be
    had; reference rows that cannot be had are warned about and left out.
    """
    for file in dict.fromkeys(file for e in experiments for file in e.plugin):
        registry.load_plugin_file(Path(file))
    cache: dict[Any, Any] = {}
    return [Planner(e, download, with_tuned_rates, cache).plan() for e in experiments]


def make_plan(experiment: Experiment, download: bool = True) -> Plan:
    """The plan of one experiment, as `make_plans` makes it."""
    return make_plans([experiment], download)[0]


def plan_cell(experiment: Experiment, model: ModelChoice) -> tuple[Cell, tuple[str, ...]]:
    """The first cell of an experiment for a model that is loaded already, and what to warn of.

    The first is that of the first reference row if the experiment asks for any.  Raises
    `UserError` as `make_plan` does.
    """
    planner = Planner(experiment)
    return next(planner.of_model(model, planner.data(model))), tuple(planner.warnings)
