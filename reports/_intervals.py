"""A table's 95% intervals as they are printed."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from unlearnbench.analysis.columns import ABSENT

if TYPE_CHECKING:
    from unlearnbench.analysis.columns import Column
    from unlearnbench.analysis.table import Group, Row

TITLE = "95% intervals over documents"


def interval_columns(
    groups: Iterable["Group"], columns: Iterable["Column"]
) -> tuple["Column", ...]:
    """The columns in which some row of these groups has an interval."""
    cells = [
        (name, cell) for group in groups for row in group.rows for name, cell in row.cells.items()
    ]
    with_interval = {name for name, cell in cells if (cell.low, cell.high) != (None, None)}
    return tuple(column for column in columns if column.name in with_interval)


def interval_text(group: "Group", row: "Row", column: "Column") -> str:
    """'[3.1, 5.2]' with the mean's decimals; '–' if there is none, '>1000' if all is above it."""
    cell = row.cells.get(column.name)
    ends = (cell.low, cell.high) if cell else (None, None)
    low, high = (_end(group, column, end) for end in ends)
    is_one = low == high and (low == ABSENT or low.startswith(">"))
    return low if is_one else f"[{low}, {high}]"


def _end(group: "Group", column: "Column", end: float | None) -> str:
    if end is not None and math.isinf(end) and not column.is_over_cap(end, group.cap):
        return "∞" if end > 0 else "-∞"
    return column.text(end, group.cap)
