"""The cells that a pool file asks for: a row per model and forget set, and those of R and Q."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.errors import UserError
from unlearnbench.experiments.data_choice import DataChoice, choose_data
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import ModelChoice, choose_model
from unlearnbench.experiments.planner import Plan, Planner
from unlearnbench.files.hashing import files_sha256
from unlearnbench.metrics.task import RETRAINED
from unlearnbench.models.source import find_folder
from unlearnbench.registry import load_plugin_file

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.pools.definition import Definition, Member, Pools

Side = Literal["with", "without"]
_MOST_NAMED = 3  # models that are not there


@dataclass(frozen=True)
class PlannedPools:
    """The cells of a pool file, and which model of which pool each of them measures."""

    pools: "Pools"
    experiments: tuple[Experiment, ...]
    plan: Plan
    base: tuple["Cell", ...]  # of the original: before, retrained, unlearned, under attack
    members: Mapping[str, tuple[Side, "Member"]]  # by cell's key


def plan_pools(pools: "Pools", options: Mapping[str, Any], download: bool = True) -> PlannedPools:
    """Check everything that a pool file asks and lay out its cells; loads no weights.

    A member's cell is that of the model before unlearning in a run without methods: a result that
    another run has of it in the same folder counts.  `options` are of `unlearnbench run`, by field
    name, and win over the file's.  Raises `UserError` where models are not there, naming the
    command that makes them.
    """
    definition = pools.definition
    for file in Experiment.parse({**definition.run, **options}).plugin:
        load_plugin_file(Path(file))
    _check_models(definition, options, download)
    look_ups: Any = cache(choose_model), cache(choose_data)
    references = Experiment.parse(definition.of_references(options))
    if definition.robustness is None:
        base = _WithoutMethods(references, download, True, *look_ups).plan()
    else:
        base = Planner(references, download, True, *look_ups).plan()
    retrained = {c.run: c.model.requested for c in base.cells if c.role == RETRAINED}
    experiments, warnings = [references], [*base.warnings]
    cells = {cell.key: cell for cell in base.cells}
    members: dict[str, tuple[Side, Member]] = {}
    checked: set[str] = set()
    for side, member in _members(definition):
        experiment = Experiment.parse({**definition.of_members(options), "model": member.model})
        planner = _WithoutMethods(experiment, download, True, *look_ups)
        planner.checked = checked
        if RETRAINED in planner.needs:  # for tasks that measure a model beside it
            others = {run: m for run, m in retrained.items() if m != member.model}
            named = tuple(f"{run}={model}" for run, model in others.items())
            planner.experiment = experiment = replace(experiment, retrained=named)
            planner.compared = frozenset(others)
        plan = planner.plan()
        experiments.append(experiment)
        warnings += plan.warnings
        cells |= {cell.key: cell for cell in plan.cells}
        members |= {cell.key: (side, member) for cell in plan.cells}
    plan = Plan(tuple(cells.values()), tuple(dict.fromkeys(warnings)), base.jobs)
    return PlannedPools(pools, tuple(experiments), plan, base.cells, members)


def _members(definition: "Definition") -> "Iterator[tuple[Side, Member]]":
    yield from (("with", member) for member in definition.with_)
    yield from (("without", member) for member in definition.without)


class _WithoutMethods(Planner):
    """Plans reference rows alone; items are checked once for all models that read them alike."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.methods = self.trained = {}
        self.checked: set[str] = set()
        self.compared: frozenset[str] = frozenset()  # runs with another model to compare with

    def _measured_against(
        self, model: ModelChoice, main: ModelChoice, data: DataChoice, run: str
    ) -> ModelChoice | None:
        return super()._measured_against(model, main, data, run) if run in self.compared else None

    def _check_splits(self, model: ModelChoice, data: DataChoice) -> None:
        reader = _reader_of(model)
        if reader not in self.checked:
            super()._check_splits(model, data)
            self.checked.add(reader)


#: How the files begin that say how a model reads a text, and how much of it.
_READING = ("config", "tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "chat")


def _reader_of(model: ModelChoice) -> str:
    """Digest of a model's configuration and tokenizer."""
    folder = find_folder(model.requested, model.source.revision, False, model.allow_pickle)
    files = sorted(folder.iterdir()) if folder else []
    read = [path for path in files if path.is_file() and path.name.startswith(_READING)]
    return files_sha256(read, folder) if read else model.source.weights_sha256


def _check_models(definition: "Definition", options: Mapping[str, Any], download: bool) -> None:
    """Raise `UserError` naming every model that is not there, and what makes them."""
    values = definition.of_members(options)
    asking = Experiment.parse({n: v for n, v in values.items() if n not in ("benchmark", "split")})
    names = dict.fromkeys([definition.original, *(m.model for _, m in _members(definition))])
    lacking: dict[str, str] = {}
    for name in names:
        try:
            choose_model(asking, name, download)
        except UserError as error:
            lacking[name] = str(error)
    if not lacking:
        return
    if not definition.build:
        raise UserError(f"a model of the pools cannot be had: {next(iter(lacking.values()))}")
    more = ", …" if len(lacking) > _MOST_NAMED else ""
    raise UserError(
        f"{len(lacking)} of the pools' {len(names)} models are not there "
        f"({', '.join(list(lacking)[:_MOST_NAMED])}{more}); make them with: {definition.build}"
    )
