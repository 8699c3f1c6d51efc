"""The columns of a comparison table: the paper's Table I, then whatever else was measured."""

import math
from collections.abc import Iterable
from dataclasses import replace

from pydantic.dataclasses import dataclass

from unlearnbench.errors import UserError
from unlearnbench.results.record import Result
from unlearnbench.results.score import TABLE_I, Metric

ABSENT = "–"  # not measured; never 0


@dataclass(frozen=True)
class Column(Metric):
    """A metric as a column; without a task the paper's that nobody measured, or no metric."""

    higher_is_better: bool | None  # type: ignore[assignment]  # None: not compared (epochs)
    in_score: bool = False
    metric: str = ""  # its name within the task, where two tasks' metrics have the same

    @property
    def arrow(self) -> str:
        """Which way is better, as in the paper's header."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def header(self) -> tuple[str, str]:
        """The two lines of a narrow header: 'EL10', '(%) ↓'."""
        name, bracket, unit = self.label.partition(" (")
        return name, f"({unit} {self.arrow}".strip() if bracket else self.arrow

    def is_over_cap(self, value: float, cap: float | None) -> bool:
        """Whether the value (in printed units) is above the cap that applies to this column."""
        return self.capped and cap is not None and value > cap

    def text(self, value: float | None, cap: float | None = None) -> str:
        """A value (in printed units) as it stands in a table; '>1000' above the cap."""
        if value is None or math.isnan(value):
            return ABSENT
        if self.is_over_cap(value, cap):
            return f">{cap:g}"
        if abs(value) >= 1e6:  # uncapped perplexities of a destroyed model
            return f"{value:.1e}"
        return f"{value:z.{self.decimals}f}"


#: Table I's columns where nobody measured them, or for values as they are printed, hence the scale.
PAPER_COLUMNS = tuple(Column(**{**vars(metric), "scale": 1.0}) for metric in TABLE_I)
EPOCHS = Column("epochs", "Epoch", None)
S_Z = Column("s_z", "s_z", True, decimals=2)
S_M = Column("s_m", "s_m", True, decimals=2)
SCORE_NAMES = (S_Z.name, S_M.name)


def columns_of(results: Iterable[Result]) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """The table's metric columns, and those measured but neither the paper's nor in its scores.

    The first are the paper's, in its order and present even if not measured, then any other
    metric that counts in the scores.  Raises `UserError` if results disagree on a metric.
    """
    measured = _measured(results)
    paper = [measured.pop(c.name, c) for c in PAPER_COLUMNS]
    shown = [c for c in measured.values() if c.in_score]
    other = [c for c in measured.values() if not c.in_score]
    return (*paper, *shown), tuple(other)


def _measured(results: Iterable[Result]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for result in results:
        for record in result.metrics:
            column = Column(**vars(record), metric=record.name)
            first = columns.setdefault(column.name, column)
            if first.task != column.task:
                column = replace(column, name=f"{record.task}.{record.name}")
                first = columns.setdefault(column.name, column)
            if _meaning(first) != _meaning(column):
                raise UserError(
                    f"results disagree on the direction, scale or cap of {record.task}'s metric "
                    f"'{record.name}', so they are of different versions; measure them again: "
                    "unlearnbench run"
                )
    return columns


def _meaning(column: Column) -> tuple[bool | None, float, bool]:
    return column.higher_is_better, column.scale, column.capped
