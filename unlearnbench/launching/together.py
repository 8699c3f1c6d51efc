"""One cell over several processes that a launcher such as `accelerate launch` has started."""

import os
from collections.abc import Sequence

from unlearnbench.cell import Cell
from unlearnbench.cell_run import run_cell
from unlearnbench.launching.grid_run import is_finished
from unlearnbench.store import Store


def is_first_process() -> bool:
    """Whether this is the only process of a run, or the first that `accelerate launch` started."""
    return int(os.environ.get("RANK", "0")) == 0


def run_beside(cells: Sequence[Cell], store: Store) -> None:
    """Take part in the training of every missing cell; the first process keeps the results."""
    missing = [cell for cell in cells if not is_finished(store.load(cell.key))]
    for cell in missing:
        run_cell(cell)
