"""From experiments to their grids: the cells in the order of the table, and what it takes."""

from dataclasses import dataclass
from typing import Any

from unlearnbench import registry
from unlearnbench.experiments.cell import Cell
from unlearnbench.unlearning.method import check_unlearn


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment in the order of the table, and what could not be had."""

    cells: tuple[Cell, ...]
    warnings: tuple[str, ...]
    jobs: int  # cells at a time, each in a process of its own; 0: in this process


def chosen_plugins(kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The named plugins, or every built-in one and every one from a plugin file.

    Raises `UserError` for a name that is unknown, and for a method that cannot be called.
    """
    if names:
        chosen = {name: registry.find(kind, name) for name in names}
    else:
        known: dict[str, type] = getattr(registry, kind)()
        chosen = {name: plugin for name, plugin in known.items() if registry.is_default(plugin)}
    if kind == "methods":
        for method in chosen.values():
            check_unlearn(method)
    return chosen
