"""The columns of a comparison table: the paper's Table I, then whatever else was measured."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from unlearnbench.errors import UserError
from unlearnbench.results.record import MetricRecord, Result

ABSENT = "–"  # not measured; never 0


@dataclass(frozen=True)
class Column:
    """A column: how its values are printed and which direction is better."""

    name: str
    label: str
    higher_is_better: bool | None  # None: not compared (epochs)
    task: str = ""  # whose metric it is; empty for the paper's column if nobody measured it
    metric: str = ""  # its name within the task
    scale: float = 1.0
    decimals: int = 1
    in_score: bool = False
    capped: bool = False

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


def _paper(name: str, label: str, higher_is_better: bool, decimals: int = 1) -> Column:
    capped = name.endswith("_ppl")
    return Column(name, label, higher_is_better, decimals=decimals, in_score=True, capped=capped)


#: Table I's metrics in its order; eq. 11 is over these nine.  A column that was measured takes
#: label, direction and format from the metric's own record instead.
PAPER_COLUMNS = (
    _paper("el10", "EL10 (%)", False),
    _paper("ma", "MA (%)", False),
    _paper("bertscore_f1", "BERT (F1)", False),
    _paper("entropy", "Entropy", True, decimals=3),
    _paper("cls_avg", "Cls Avg. (ACC)", True),
    _paper("dia_avg", "Dia Avg. (F1)", True),
    _paper("pile_ppl", "Pile (PPL)", False),
    _paper("wikitext_ppl", "WikiText (PPL)", False),
    _paper("gpt", "GPT", True, decimals=2),
)
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
            column = _column(record)
            known = columns.get(column.name)
            if known is not None and known.task != column.task:
                column = replace(column, name=f"{record.task}.{record.name}")
                known = columns.get(column.name)
            if known is not None and _meaning(known) != _meaning(column):
                raise _disagreement(record)
            columns.setdefault(column.name, column)
    return columns


def _meaning(column: Column) -> tuple[bool | None, float, bool]:
    return column.higher_is_better, column.scale, column.capped


def _column(record: MetricRecord) -> Column:
    return Column(
        record.name,
        record.label,
        record.higher_is_better,
        record.task,
        record.name,
        record.scale,
        record.decimals,
        record.in_score,
        record.capped,
    )


def _disagreement(record: MetricRecord) -> UserError:
    return UserError(
        f"results disagree on the direction, scale or cap of {record.task}'s metric "
        f"'{record.name}', so they are of different versions; measure them again: unlearnbench run"
    )
