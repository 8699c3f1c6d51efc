"""The comparison table: columns, groups of rows, means over runs, ranks, normalised scores."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic.dataclasses import dataclass as pydantic_dataclass

from unlearnbench.errors import UserError
from unlearnbench.results.record import Result, Role, StopRecord
from unlearnbench.results.score import TABLE_I, Metric, Score

ABSENT = "–"  # not measured; never 0
P_VALUE = "p"  # the unit of values that may be as small as 1e-239


@pydantic_dataclass(frozen=True)
class Column(Metric):
    """A metric as a column; without a task the paper's that nobody measured, or no metric."""

    higher_is_better: bool | None  # type: ignore[assignment]  # None: not compared (epochs)
    in_score: bool = False
    metric: str = ""  # its name within the task, where two tasks' metrics have the same
    marker: str = ""  # a footnote of the column

    @property
    def arrow(self) -> str:
        """Which way is better, as in the paper's header."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def header(self) -> tuple[str, str]:
        """The two lines of a narrow header: 'EL10', '(%) ↓'."""
        name, bracket, unit = self.title.partition(" (")
        return name, f"({unit} {self.arrow}".strip() if bracket else self.arrow

    @property
    def title(self) -> str:
        """The label with the column's footnote marker behind the name: 'EL10? (%)'."""
        name, bracket, unit = self.label.partition(" (")
        return f"{name}{self.marker}{bracket}{unit}"

    def score(self, result: Result) -> Score | None:
        """The score of one result; None if it was not measured."""
        return result.scores.get(self.task, {}).get(self.metric)

    def value(self, result: Result) -> float | None:
        """The value of one result in printed units, uncapped; None if it was not measured."""
        score = self.score(result)
        return None if score is None else score.value * self.scale

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
        if self.unit == P_VALUE and 0 < value < 10**-self.decimals:
            return f"{value:.1e}"
        return f"{value:z.{self.decimals}f}"


#: Table I's columns where nobody measured them, or for values as they are printed, hence the scale.
PAPER_COLUMNS = tuple(Column(**{**vars(metric), "scale": 1.0}) for metric in TABLE_I)
EPOCHS = Column("epochs", "Epoch", None)
S_Z = Column("s_z", "s_z", True, decimals=2)
S_M = Column("s_m", "s_m", True, decimals=2)
SCORE_NAMES = (S_Z.name, S_M.name)
_MEANING = ("higher_is_better", "scale", "capped")  # of a metric, in which results must agree


def columns_of(results: Iterable[Result]) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """The table's metric columns, and those measured but neither the paper's nor in its scores.

    The first are the distances to a retrained model, where there is one, then the paper's, in its
    order and present even if not measured, then any other metric that counts in the scores; of a
    benchmark, those that it names and that there are.
    Raises `UserError` if results disagree on a metric.
    """
    results = list(results)
    measured: dict[str, Column] = {}
    for result in results:
        for record in result.metrics:
            column = Column(**vars(record), metric=record.name)
            first = measured.setdefault(column.name, column)
            if first.task != column.task:
                column = replace(column, name=f"{record.task}.{record.name}")
                first = measured.setdefault(column.name, column)
            if any(getattr(first, name) != getattr(column, name) for name in _MEANING):
                raise UserError(
                    f"results disagree on the direction, scale or cap of {record.task}'s metric "
                    f"'{record.name}', so they are of different versions; measure them again: "
                    "unlearnbench run"
                )
    if (benchmark := results[0].benchmark if results else None) is not None:
        named = {c.metric: c for c in reversed(measured.values())}
        chosen = [named[name] for name in benchmark.columns if name in named]
        return tuple(chosen), tuple(c for c in measured.values() if c not in chosen)
    paper = [measured.pop(c.name, c) for c in PAPER_COLUMNS]
    leading = [c for c in measured.values() if c.leads]
    shown = [c for c in measured.values() if c.in_score and not c.leads]
    other = [c for c in measured.values() if not (c.in_score or c.leads)]
    return (*leading, *paper, *shown), tuple(other)


# Footnote markers of rows.
NOT_FORGOTTEN, LEFT_OUT, UNEQUAL, PARTIAL = "†", "‡", "§", "¶"
AS_NEAR = "⋆"  # to the retrained model as a second retraining is
INDISTINCT = "≈"  # a footnote marker of cells
UNTOLD = "?"  # of columns


@dataclass(frozen=True)
class Cell:
    """One metric of one row, in printed units (stored value x scale), uncapped."""

    mean: float
    std: float | None = None  # sample standard deviation over runs; None with fewer than two
    n: int = 1  # runs in the mean
    n_documents: tuple[int, ...] = ()  # the numbers of documents it was measured on
    n_degenerate: int = 0  # runs in which every document got the same answer
    rank: int | None = None  # 1 best, 2 second among the compared rows, as printed
    low: float | None = None  # 95% interval of the mean over documents, these runs held fixed
    high: float | None = None
    indistinct: bool = False  # the best, but not told apart from the second by a paired test


@dataclass(frozen=True)
class Run:
    """What tells the runs of one row apart."""

    forget_set: str
    content_sha256: str  # of the forget set in its source, whatever the tokenizer
    seed: int
    key: str = field(default="", compare=False)  # of the result that was used


@dataclass(frozen=True)
class Row:
    """A reference row, or a method with one set of settings."""

    label: str
    role: Role
    cells: Mapping[str, Cell]  # by column name; a metric that was not measured is not there
    method: str = "none"
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(
        default_factory=dict
    )  # of its runs, where not the plain one
    stops: tuple[StopRecord, ...] = ()  # distinct ones, as its method applies them
    runs: tuple[Run, ...] = ()  # those in the means
    failed_runs: tuple[Run, ...] = ()  # those that are not, in the order of `failures`
    n_not_forgotten: int = 0  # of `runs`
    failures: tuple[str, ...] = ()  # why each run that is not in the means is left out
    n_superseded: int = 0  # older results of the same cell, left out
    markers: str = ""  # footnotes: † ‡ § ¶ ⋆

    @property
    def compared(self) -> bool:
        """Whether the row counts in ranks and scores: methods and the deduplicated baseline do."""
        return self.role in ("method", "dedup") and bool(self.cells)

    def mean(self, name: str) -> float | None:
        """The mean of a column; None if it was not measured."""
        return self.cells[name].mean if name in self.cells else None


@dataclass(frozen=True)
class Group:
    """The rows of one model under one protocol: what is compared with each other."""

    name: str
    rows: tuple[Row, ...]
    n_parameters: int | None = None
    cap: float | None = 1000.0  # perplexity above it is printed '>1000' and counts as 1000
    variant: str = ""  # what tells groups of the same name apart, e.g. 'bfloat16'
    protocol_name: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = ""
    stops: tuple[StopRecord, ...] = ()  # distinct ones; calibrated lines may differ by a little
    n_forget_rows: tuple[int, ...] = ()
    is_synthetic: bool = False  # of models that are no claim about real ones
    scored: tuple[str, ...] = ()  # columns that s_z and s_m are over
    not_scored: tuple[str, ...] = ()  # columns that would count, had every compared row a value
    scores_flagged: bool = False  # the compared rows are means over different runs
    benchmark: str = ""  # whose split its rows are of: 'tofu forget10'

    @property
    def title(self) -> str:
        """Name and what tells it from others of that name."""
        return f"{self.name} ({self.variant})" if self.variant else self.name

    @property
    def compared(self) -> tuple[Row, ...]:
        """The rows that ranks and scores are over."""
        return tuple(row for row in self.rows if row.compared)

    @property
    def parameters(self) -> str:
        """Number of parameters as in Table I: '125M', '1.3B'; empty if unknown."""
        return _short_count(self.n_parameters) if self.n_parameters else ""

    def text(self, row: Row, column: Column) -> str:
        """A cell as it is printed, without its rank; '–' if it was not measured."""
        return column.text(row.mean(column.name), self.cap)

    def spread(self, row: Row, column: Column) -> str:
        """The cell's standard deviation as it is printed; '–' if there is none to tell."""
        cell = row.cells.get(column.name)
        if cell is None or column.is_over_cap(cell.mean, self.cap):
            return ABSENT
        return column.text(cell.std)

    def interval(self, row: Row, column: Column) -> str:
        """'[3.1, 5.2]' with the mean's decimals; '–' if there is none, '>1000' if all is above."""
        cell = row.cells.get(column.name)
        ends = (cell.low, cell.high) if cell else (None, None)
        low, high = (self._end(column, end) for end in ends)
        is_one = low == high and (low == ABSENT or low.startswith(">"))
        return low if is_one else f"[{low}, {high}]"

    def _end(self, column: Column, end: float | None) -> str:
        if end is not None and math.isinf(end) and not column.is_over_cap(end, self.cap):
            return "∞" if end > 0 else "-∞"
        return column.text(end, self.cap)

    def flag(self, row: Row, column: Column) -> str:
        """The marker of a score that compares means over different runs; else empty."""
        scored = column.name in (S_Z.name, S_M.name) and column.name in row.cells
        return UNEQUAL if self.scores_flagged and scored else ""


@dataclass(frozen=True)
class Note:
    """A sentence under the table; with a marker, a footnote of the rows that carry it."""

    kind: str
    text: str
    marker: str = ""


@dataclass(frozen=True)
class Table:
    """A comparison, ready to be printed in any format."""

    metric_columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    other_columns: tuple[Column, ...] = ()  # measured, in CSV and JSON only
    notes: tuple[Note, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns a table prints, in order: metrics, epochs, and s_z, s_m if any counts.

        Where a distance to the retrained model leads, both scores stand beside it.
        """
        metrics = self.metric_columns
        scores = (S_Z, S_M) if any(column.in_score for column in metrics) else ()
        n_leading = sum(column.leads for column in metrics)
        if not (n_leading and scores):
            return (*metrics, EPOCHS, *scores)
        return (*metrics[:n_leading], *scores, *metrics[n_leading:], EPOCHS)

    @property
    def has_spread(self) -> bool:
        """Whether any row is a mean over more than one run."""
        return any(len(row.runs) > 1 for group in self.groups for row in group.rows)


INTERVALS_TITLE = "95% intervals over documents"


def interval_columns(groups: Iterable[Group], columns: Iterable[Column]) -> tuple[Column, ...]:
    """The columns in which some row of these groups has an interval."""
    cells = [item for group in groups for row in group.rows for item in row.cells.items()]
    with_interval = {name for name, cell in cells if (cell.low, cell.high) != (None, None)}
    return tuple(column for column in columns if column.name in with_interval)


def _short_count(count: int) -> str:
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        # Rounded first: 999,950,000 is 1.0B, not 1000M.
        if count >= size * 0.9995:
            number = count / size
            return f"{number:.1f}{suffix}" if number < 9.95 else f"{number:.0f}{suffix}"
    return str(count)
