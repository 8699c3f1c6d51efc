"""Lays out an experiment's cells: models x methods x forget sets x seeds, and references.

What each method is run with: what --set says, what tuning and rules say.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.experiments.attack_choice import ATTACKED, AttackChoice
from unlearnbench.experiments.benchmark_choice import (
    check_is_requested,
    check_measures,
    check_same_tokens,
    read_alike,
    reference_name,
)
from unlearnbench.experiments.cell import Cell, identity_of
from unlearnbench.experiments.data_choice import DataChoice, choose_data, without_weights
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import tuned_rates_for
from unlearnbench.experiments.method_settings import (
    NO_SETTINGS,
    Chosen,
    choose_settings,
    chosen_plugins,
    construct,
    parse_set,
)
from unlearnbench.experiments.model_choice import ModelChoice, check_revision, choose_model
from unlearnbench.experiments.schedule_choice import check_warmup, schedule_for, with_budget_text
from unlearnbench.experiments.sequences import one_after_the_other
from unlearnbench.experiments.shams import (
    ShamChoice,
    is_optional,
    is_requested,
    is_sham,
    noise_cell,
    reference_roles,
    with_usual_rate,
)
from unlearnbench.experiments.trackers import check_trackers
from unlearnbench.experiments.wrapped import (
    adapted,
    check_wrappers,
    explicit_settings,
    parts_of,
)
from unlearnbench.metrics.task import RETRAINED, TEXTS
from unlearnbench.models.devices.device import cores
from unlearnbench.models.devices.strategy import n_processes
from unlearnbench.models.quantised import check_attacked
from unlearnbench.protocol import Protocol
from unlearnbench.results.record import Role

REFERENCE_LABELS = {
    "before": "{family} (before unlearning)",
    "dedup": "{reference}",
    "retrained": "{family} (retrained)",
    "null": "{family} (retrained, other seed)",
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
        look_up_model: Callable[..., ModelChoice] | None = None,
        look_up_data: Callable[..., tuple[DataChoice, list[str]]] | None = None,
    ) -> None:
        self.experiment, self.download = experiment, download
        self.with_tuned_rates = with_tuned_rates
        self.look_up_model = look_up_model or choose_model
        self.look_up_data = look_up_data or choose_data
        self.methods = adapted(chosen_plugins("methods", experiment.methods), experiment.adapter)
        self.tasks = chosen_plugins("tasks", experiment.tasks)
        self.attacks = AttackChoice.of(experiment, self.tasks)
        of_attacks = {**self.attacks.tasks, **self.attacks.attacks}
        self.shams = ShamChoice.of(experiment, self.methods)
        shams = adapted(dict(self.shams.methods), experiment.adapter)
        self.trained = {**self.methods, **shams}
        owners = {**parts_of(self.trained), **self.trained, **self.tasks, **of_attacks}
        owners |= self.shams.owners
        self.overrides = parse_set(experiment.settings, owners)
        named = Protocol.named(experiment.protocol)
        self.protocol = replace(named, **self.overrides.get("protocol", {}))
        self.references = reference_roles(experiment.references)
        self.warnings: list[str] = []
        self._retrained: dict[tuple[str, str], ModelChoice | None] = {}

    def plan(self) -> Plan:
        """The whole grid."""
        if not self.experiment.model:
            raise UserError("no model given; take --model nano-neo (all: unlearnbench list models)")
        check_revision(self.experiment)
        check_trackers(self.experiment.track)
        models = [self._model(self.experiment, name) for name in self.experiment.model]
        chosen = [(model, self.data(model)) for model in models]
        cells = [c for model, data in chosen for c in self.of_model(model, data)]
        distinct = {cell.key: cell for cell in cells}
        warnings = tuple(dict.fromkeys(self.warnings))
        return Plan(tuple(distinct.values()), warnings, self._jobs(models))

    def _model(self, experiment: Experiment, name: str) -> ModelChoice:
        asking = replace(experiment, methods=(), settings=())
        return self.look_up_model(asking, name, self.download)

    @property
    def needs(self) -> tuple[str, ...]:
        """The evaluation sets that the tasks read, by name, and the texts of a utility budget."""
        of_tasks = [name for task in self.tasks.values() for name in task.needs]
        of_tasks += self.attacks.needs(self.overrides)
        of_budget = [TEXTS] if self.experiment.until == "budget" else []
        return tuple(dict.fromkeys([*of_tasks, *of_budget]))

    def data(self, model: ModelChoice) -> DataChoice:
        """The data for a model."""
        asking = replace(self.experiment, methods=(), settings=())
        data, warnings = self.look_up_data(asking, model, self.protocol, self.needs)
        self.warnings += warnings
        return data

    def of_model(self, model: ModelChoice, data: DataChoice) -> Iterator[Cell]:
        """The cells of one model: reference rows, then methods."""
        schedule = with_budget_text(model.strategy.schedule, data.texts)
        model = model.with_schedule(schedule)
        self._check_splits(model, data)
        # Two cells of one model would measure its tasks twice if they went side by side.
        for run in data.runs:
            for role in self.references:
                reference = self._reference_model(role, model, data, run)
                if reference is not None:
                    label = REFERENCE_LABELS[role].format(
                        family=model.family, reference=reference.family
                    )
                    cell = self._cell(role, label, reference, model, data, run)
                    yield cell
                    yield from self._under_attack(cell)
        rates: list[float] = []
        for method in sorted(self.trained.values(), key=is_sham):
            try:
                yield from self._of_method(method, model, data, rates)
            except UserError as error:
                if method.name in self.methods:
                    raise
                self.warnings.append(f"sham '{method.label}' is left out: {error}")

    def _of_method(
        self, method: Any, model: ModelChoice, data: DataChoice, rates: list[float]
    ) -> Iterator[Cell]:
        """The cells of one method, each with its noise and its attacks; `rates` gets its rate."""
        chosen = self.settings(method, model, data)
        role: Role = "sham" if is_sham(method) else "method"
        if role == "sham":
            chosen = with_usual_rate(chosen, rates)
        configured = construct(method, chosen.values)
        rates.append(configured.learning_rate)
        check_wrappers(configured, model)
        schedule = schedule_for(method, model.strategy.schedule, self.warnings)
        own = model.with_schedule(schedule)
        steps: dict[int, list[Cell]] = {}
        for run in data.runs:
            data.check_method(configured, run, self.experiment.limit, model, self.protocol)
            for seed in self.experiment.seeds:
                label = f"{model.family} + {method.label}"
                cell = self._cell(role, label, own, own, data, run, method, chosen, seed)
                n_rows = len(data.doc_ids(run, cell.limit))
                check_warmup(schedule, method.name, cell.settings, n_rows)
                yield cell
                if role == "method":
                    steps.setdefault(seed, []).append(cell)
                if self.shams.has_noise and role == "method":
                    yield noise_cell(cell, model.family, self.overrides.get("noise", {}))
                yield from self._under_attack(cell)
        for at_once in steps.values():
            yield from one_after_the_other(at_once, self.experiment.sequence)

    def _under_attack(self, base: Cell) -> Iterator[Cell]:
        """The cells that attack the model of a cell."""
        if not self.attacks.attacks or base.role not in ATTACKED:
            return
        check_attacked(base.model.quantise_base)
        retrained = self._retrained_of(base.main, base.data, base.run)
        for cell in self.attacks.cells(base, retrained, self.overrides, self.warnings):
            yield replace(cell, identity=identity_of(cell))

    def _check_splits(self, model: ModelChoice, data: DataChoice) -> None:
        """Raise `UserError` for items of a benchmark that a task cannot measure of this model."""
        for task in self.tasks.values():
            check_is_requested(task, data.benchmark)
        if data.benchmark is None:
            return
        check_measures(data.benchmark)
        unloaded = without_weights(model)
        for run in data.runs:
            splits = data.splits(run, self.experiment.limit)
            measured = [split.first(self.experiment.task_limit) for split in splits]
            for name, task in self.tasks.items():
                construct(task, self.overrides.get(name, {})).check_splits(unloaded, measured)

    def _reference_model(
        self, role: Role, model: ModelChoice, data: DataChoice, run: str
    ) -> ModelChoice | None:
        if role == "before":
            return model
        name = reference_name(role, self.experiment, model, data, run)
        if name is None:
            if is_requested(role, self.experiment.references) and role in self.references:
                known = model.alias is not None and role in model.alias.references
                of = " on these forget sets" if known else ""
                self.warnings.append(
                    f"no {role} reference is known for '{model.requested}'{of}; left out"
                )
            return None
        if is_optional(role, name, model.alias, self.experiment.references):
            return None
        try:
            # A revision is one of the main model's repository.
            reference = self._model(replace(self.experiment, revision=None), name)
        except UserError as error:
            if self.experiment.retrained and role == "retrained":
                raise
            self.warnings.append(f"reference row '{role}' is left out: {error}")
            return None
        if role in ("retrained", "null"):
            check_same_tokens(reference, model, data)
        return reference

    def _measured_against(
        self, model: ModelChoice, main: ModelChoice, data: DataChoice, run: str
    ) -> ModelChoice | None:
        """The retrained model, where a task needs it beside `model`, which it measures.

        None for one that reads other tokens, of which nothing can be compared.
        """
        if RETRAINED not in self.needs:
            return None
        retrained = self._retrained_of(main, data, run)
        named = [n for n, kind in self.tasks.items() if RETRAINED in kind.needs]
        if retrained is None and self.experiment.tasks:
            self.warnings.append(
                f"task '{named[0]}' measures nothing of {main.requested} on forget set {run}: no "
                "model retrained without it is known; name one: --retrained MODEL"
            )
        if retrained is None or read_alike(model, retrained):
            return retrained
        self.warnings.append(
            f"task '{named[0]}' measures nothing of {model.source.name}, which has another "
            f"tokenizer than {retrained.source.name}"
        )
        return None

    def _tasks_of(self, main: ModelChoice, data: DataChoice, run: str) -> dict[str, Any]:
        """The tasks of a cell; those that nobody named and that lack a retrained model are none.

        The forget sets of a table are measured alike, so one of them that has such a model is
        enough; a benchmark's splits are tables of their own.
        """
        runs = data.runs if data.benchmark is None else (run,)
        return {
            name: kind
            for name, kind in self.tasks.items()
            if self.experiment.tasks
            or RETRAINED not in kind.needs
            or any(self._retrained_of(main, data, each) is not None for each in runs)
        }

    def _retrained_of(self, model: ModelChoice, data: DataChoice, run: str) -> ModelChoice | None:
        place = model.requested, run
        if place not in self._retrained:
            self._retrained[place] = self._reference_model("retrained", model, data, run)
        return self._retrained[place]

    def settings(self, method: Any, model: ModelChoice, data: DataChoice) -> Chosen:
        """What a method is run with, but its seed."""
        tuned = None
        if self.with_tuned_rates:
            tuned, warning = tuned_rates_for(self.experiment, model)
            self.warnings += [warning] if warning else []
            if tuned and tuned.rated(method.name):
                shared = data.shared_with(tuned.forget_set, tuned.run, self.protocol)
                self.warnings += tuned.warnings_for(shared)
        explicit = explicit_settings(method, self.overrides)
        return choose_settings(
            method,
            explicit,
            self.experiment,
            model.n_parameters,
            self.protocol,
            tuned,
            data.stop,
            data.benchmark,
        )

    def _cell(
        self,
        role: Role,
        label: str,
        model: ModelChoice,
        main: ModelChoice,
        data: DataChoice,
        run: str,
        method: Any = None,
        chosen: Chosen = NO_SETTINGS,
        seed: int = REFERENCE_SEED,
    ) -> Cell:
        experiment, world = self.experiment, data.world or model.world
        out = Path(experiment.out).absolute()  # a cell may run elsewhere than here
        others = experiment.attacks or experiment.sequence or self.shams.has_noise
        keeps = experiment.save_models or bool(others)  # others take the models
        by_default = data.world.el_epochs if data.world else "all"
        cell = Cell(
            role=role,
            group=main.source.name,
            label=label,
            model=model,
            main=main,
            method=method.name if method else "none",
            method_label=method.label if method else "none",
            settings=asdict(construct(method, {**chosen.values, "seed": seed})) if method else {},
            origins=chosen.origins,
            data=data,
            run=run,
            protocol_name=experiment.protocol,
            protocol=self.protocol,
            stop=data.stop,
            seed=seed,
            position=list(self.trained).index(method.name) if method else 0,
            threads=experiment.threads or (world.threads if world else cores()),
            tasks={n: self.overrides.get(n, {}) for n in self._tasks_of(main, data, run)},
            el_epochs=by_default if experiment.el_epochs == "auto" else experiment.el_epochs,
            limit=experiment.limit,
            task_limit=experiment.task_limit,
            retrained=self._measured_against(model, main, data, run),
            models=str(out / "models") if method and keeps else None,
            must_keep_model=experiment.save_models,
            traces=str(out / "traces") if experiment.profile else None,
            trackers=tuple(str(out / "tracking" / n) for n in dict.fromkeys(experiment.track)),
        )
        return replace(cell, identity=identity_of(cell))

    def _jobs(self, models: list[ModelChoice]) -> int:
        if n_processes() > 1:
            return 0  # `accelerate launch` has started the processes; each cell is trained by all
        if self.experiment.jobs is not None:
            return self.experiment.jobs
        return min(cores(), *(model.world.jobs if model.world else 1 for model in models))


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
    cached = cache(choose_model), cache(choose_data)
    return [Planner(e, download, with_tuned_rates, *cached).plan() for e in experiments]


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
