"""From a named experiment to one grid of cells, and the record of which cells are its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unlearnbench.experiments.plan import Plan
from unlearnbench.experiments.planner import make_plans
from unlearnbench.experiments.recorded import PlannedCell, planned_cell

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.named import Named


@dataclass(frozen=True)
class ExperimentPlan:
    """The grids of all variants as one, and its cells as the experiment's record keeps them."""

    experiments: tuple["Experiment", ...]  # one per variant
    plan: Plan
    cells: tuple[PlannedCell, ...]


def plan_experiment(
    named: "Named", flags: Mapping[str, Any], download: bool = True
) -> ExperimentPlan:
    """The grid of every variant; a cell that several share, such as a reference row, stands once.

    Raises `UserError` for what cannot be had, as `make_plan` does.
    """
    experiments = named.definition.experiments(flags)
    plans = make_plans(experiments, download)
    joint = _joint(plans, named.definition.variant_names)
    labels = _labels(plans, [variant.label for variant in named.definition.variants])
    kept = tuple(planned_cell(cell, cell.position, labels[cell.key]) for cell in joint.cells)
    return ExperimentPlan(tuple(experiments), joint, kept)


def _joint(plans: Sequence[Plan], variants: Sequence[str]) -> Plan:
    """All cells, each once, those of a later variant after those of an earlier one."""
    cells: dict[str, Cell] = {}
    step = 1 + max(cell.position for plan in plans for cell in plan.cells)
    for number, (plan, variant) in enumerate(zip(plans, variants, strict=True)):
        for cell in plan.cells:
            told = variant if cell.role == "method" else ""
            placed = replace(cell, position=cell.position + number * step, variant=told)
            cells.setdefault(cell.key, placed)
    warnings = dict.fromkeys(warning for plan in plans for warning in plan.warnings)
    return Plan(tuple(cells.values()), tuple(warnings), max(plan.jobs for plan in plans))


def _labels(plans: Sequence[Plan], labels: Sequence[str | None]) -> dict[str, str | None]:
    """Each cell's label: its variant's, where it is a method's."""
    found: dict[str, str | None] = {}
    for plan, label in zip(plans, labels, strict=True):
        for cell in plan.cells:
            found.setdefault(cell.key, label if cell.role == "method" else None)
    return found
