"""Cells one after the other in this very process: for a debugger, and for a single cell."""

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.models.devices import ranks
from unlearnbench.running.cell_run import run_cell
from unlearnbench.running.launching.launcher import Ended, Listener
from unlearnbench.running.launching.worker import listened_to


class InProcess:
    """Runs a cell when it is waited for."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._next: Cell | None = None

    def room(self) -> int:
        """One, until a cell was started."""
        return 0 if self._next else 1

    def start(self, cell: Cell) -> None:
        """Keep the cell for the next `wait`."""
        self._next = cell

    def wait(self, seconds: float) -> list[Ended]:  # noqa: ARG002 - it takes as long as it takes
        """Run the cell that was started."""
        cell, self._next = self._next, None
        if cell is None:
            return []
        call_others(cell.key)
        with listened_to(lambda record: self._listener(cell, record)):
            return [Ended(cell, run_cell(cell))]

    def close(self) -> None:
        """Nothing runs beside this process."""


def call_others(key: str | None) -> None:
    """In the first process: have the others take part in a cell, or with None go home.

    Only when all is well: else this process ends, and the launcher ends the others.
    """
    ranks.from_first(lambda: key)


def follow(cells: Mapping[str, Cell], run: Callable[[Cell], Any]) -> None:
    """In every other process: take part in the cells that the first one calls for, by key."""
    with redirect_stdout(sys.stderr):
        while (key := ranks.from_first(lambda: "")) is not None:
            if key not in cells:
                raise UserError(
                    "the processes of this run have laid out different grids; give all of them "
                    "the same files and options"
                )
            run(cells[key])
