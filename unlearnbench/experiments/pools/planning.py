"""The cells that a pool file asks for: a row per model and forget set, and those of R and Q."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.errors import UserError
from unlearnbench.experiments.data_choice import choose_data
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import choose_model
from unlearnbench.experiments.planner import Plan, Planner
from unlearnbench.metrics.task import RETRAINED

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.pools.definition import Definition, Member, Pools

Side = Literal["with", "without"]


@dataclass(frozen=True)
class PlannedPools:
    """The cells of a pool file, and which model of which pool each of them measures."""

    pools: "Pools"
    experiments: tuple[Experiment, ...]
    plan: Plan
    base: tuple["Cell", ...]  # of the original: before, retrained, unlearned, under attack
    members: Mapping[str, tuple[Side, "Member"]]  # by cell's key


class _WithoutMethods(Planner):
    """Plans reference rows alone."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.methods = {}


def plan_pools(pools: "Pools", options: Mapping[str, Any], download: bool = True) -> PlannedPools:
    """Check everything that a pool file asks and lay out its cells; loads no weights.

    `options` are of `unlearnbench run`, by field name, and win over the file's.  Raises `UserError`
    where models are not there, naming the command that makes them.
    """
    definition = pools.definition
    _check_models(definition, options, download)
    look_ups = cache(choose_model), cache(choose_data)
    references = Experiment.parse({**definition.of_references(), **options})
    kind = _WithoutMethods if definition.robustness is None else Planner
    planner = kind(references, download, True, *look_ups)
    base = planner.plan()
    retrained = {cell.run: cell.model.requested for cell in base.cells if cell.role == RETRAINED}
    warnings, cells = [*base.warnings], {cell.key: cell for cell in base.cells}
    experiments = [references]
    members: dict[str, tuple[Side, Member]] = {}
    sides: tuple[tuple[Side, tuple[Member, ...]], ...] = (
        ("with", definition.with_), ("without", definition.without)
    )  # fmt: skip
    for side, of_side in sides:
        for member in of_side:
            experiment = Experiment.parse(
                {
                    **definition.of_members(),
                    **options,
                    "model": member.model,
                    "references": ["before"],
                }
            )
            own = _WithoutMethods(experiment, download, True, *look_ups)
            if RETRAINED in own.needs and retrained:  # what such a task measures against
                named = [f"{run}={model}" for run, model in retrained.items()]
                experiment = replace(experiment, retrained=tuple(named))
                own = _WithoutMethods(experiment, download, True, *look_ups)
            plan = own.plan()
            experiments.append(experiment)
            warnings += plan.warnings
            cells |= {cell.key: cell for cell in plan.cells}
            members |= {cell.key: (side, member) for cell in plan.cells}
    plan = Plan(tuple(cells.values()), tuple(dict.fromkeys(warnings)), base.jobs)
    return PlannedPools(pools, tuple(experiments), plan, base.cells, members)


def _check_models(definition: "Definition", options: Mapping[str, Any], download: bool) -> None:
    """Raise `UserError` naming every model that is not there, and what makes them."""
    known = {**definition.of_members(), **options}
    asking = Experiment.parse({n: v for n, v in known.items() if n not in ("benchmark", "split")})
    members = [definition.original, *(m.model for m in (*definition.with_, *definition.without))]
    lacking: dict[str, str] = {}
    for name in dict.fromkeys(members):
        try:
            choose_model(asking, name, download)
        except UserError as error:
            lacking[name] = str(error)
    if not lacking:
        return
    if not definition.build:
        raise UserError(f"a model of the pools cannot be had: {next(iter(lacking.values()))}")
    named = ", ".join(list(lacking)[:3]) + ("" if len(lacking) <= 3 else ", …")
    raise UserError(
        f"{len(lacking)} of the pools' {len(set(members))} models are not there ({named}); make "
        f"them with: {definition.build}"
    )
