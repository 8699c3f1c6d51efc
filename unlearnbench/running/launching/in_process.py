"""Cells one after the other in this very process: for a debugger, and for a single cell."""

from unlearnbench.experiments.cell import Cell
from unlearnbench.running.cell_run import run_cell
from unlearnbench.running.launching.launcher import Ended, Listener
from unlearnbench.running.launching.together import call_others
from unlearnbench.running.launching.worker import listened_to
from unlearnbench.running.tracing import recorded


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
            return [Ended(cell, recorded(run_cell, cell))]

    def close(self) -> None:
        """Nothing runs beside this process."""
