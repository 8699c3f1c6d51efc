"""From experiments to their grids: the cells in the order of the table, and what it takes."""

from dataclasses import dataclass
from typing import Any

from unlearnbench import registry
from unlearnbench.experiments.cell import Cell


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment in the order of the table, and what could not be had."""

    cells: tuple[Cell, ...]
    warnings: tuple[str, ...]
    jobs: int  # cells at a time, each in a process of its own; 0: in this process


def chosen_plugins(kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The named plugins, or every built-in one and every one from a plugin file."""
    if names:
        return {name: registry.find(kind, name) for name in names}
    known: dict[str, type] = getattr(registry, kind)()
    return {name: plugin for name, plugin in known.items() if registry.is_default(plugin)}
