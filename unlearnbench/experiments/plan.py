"""From experiments to their grids: the cells in the order of the table, and what it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnbench import registry
from unlearnbench.experiments.cell import Cell
from unlearnbench.experiments.experiment import Experiment


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment in the order of the table, and what could not be had."""

    cells: tuple[Cell, ...]
    warnings: tuple[str, ...]
    jobs: int  # cells at a time, each in a process of its own; 0: in this process


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


def chosen_plugins(kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The named plugins, or every built-in one and every one from a plugin file."""
    if names:
        return {name: registry.find(kind, name) for name in names}
    known: dict[str, type] = getattr(registry, kind)()
    return {name: plugin for name, plugin in known.items() if registry.is_default(plugin)}
