"""The comparison table while it grows: what a terminal shows under a run's finished cells."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import ABSENT, SCORE_NAMES, Group, Table
from unlearnbench.files.safe_text import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from unlearnbench.results.record import Result

_SHARE = 0.02  # of a run's time that drawing its table may take


class GrowingTable:
    """The table of the results so far, drawn anew after a cell, in a grid of thousands seldom."""

    def __init__(self) -> None:
        self._began, self._seconds = time.monotonic(), 0.0
        self._drawn: RenderableType | None = None

    def __call__(self, results: "Sequence[Result]") -> "RenderableType | None":
        """What to show of these results; None where there is nothing yet."""
        began = time.monotonic()
        if self._seconds <= _SHARE * (began - self._began):
            self._drawn = drawn(results)
            self._seconds += time.monotonic() - began
        return self._drawn


def drawn(results: "Sequence[Result]") -> "RenderableType | None":
    """The means of the results that are no failures, without intervals and scores: these need all
    rows."""
    from rich.console import Group as Stack

    from unlearnbench.analysis.build_table import build_table

    measured = [result for result in results if result.status != "failed"]
    if not measured:
        return None
    table = build_table(measured)
    return Stack(*(_grid(table, group) for group in table.groups))


def _grid(table: Table, group: Group) -> "RenderableType":
    from rich.table import Table as Grid
    from rich.text import Text

    columns = [
        column
        for column in table.columns
        if column.name not in SCORE_NAMES and any(row.cells.get(column.name) for row in group.rows)
    ]
    grid = Grid(title=Text(visible(group.title)), title_justify="left", box=None, pad_edge=False)
    grid.add_column("", no_wrap=True)
    for column in columns:
        grid.add_column(Text("\n".join(column.header)), justify="right", no_wrap=True)
    for row in group.rows:
        cells = [group.text(row, column) for column in columns] if row.cells else [ABSENT]
        grid.add_row(Text(visible(row.label)), *cells)
    return grid
