"""The comparison table: groups of rows, means over runs, ranks, and the normalised scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unlearnbench.analysis.columns import (
    ABSENT,
    EPOCHS,
    S_M,
    S_Z,
    Column,
)
from unlearnbench.results.record import Role, StopRecord

# Footnote markers of rows.
NOT_FORGOTTEN, LEFT_OUT, UNEQUAL, PARTIAL = "†", "‡", "§", "¶"
INDISTINCT = "≈"  # a footnote marker of cells


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
    stops: tuple[StopRecord, ...] = ()  # distinct ones, as its method applies them
    runs: tuple[Run, ...] = ()  # those in the means
    failed_runs: tuple[Run, ...] = ()  # those that are not, in the order of `failures`
    n_not_forgotten: int = 0  # of `runs`
    failures: tuple[str, ...] = ()  # why each run that is not in the means is left out
    n_superseded: int = 0  # older results of the same cell, left out
    markers: str = ""  # footnotes: † ‡ § ¶

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
        """The columns a table prints, in order: metrics, epochs, s_z, s_m."""
        return (*self.metric_columns, EPOCHS, S_Z, S_M)

    @property
    def has_spread(self) -> bool:
        """Whether any row is a mean over more than one run."""
        return any(len(row.runs) > 1 for group in self.groups for row in group.rows)


def _short_count(count: int) -> str:
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        # Rounded first: 999,950,000 is 1.0B, not 1000M.
        if count >= size * 0.9995:
            number = count / size
            return f"{number:.1f}{suffix}" if number < 9.95 else f"{number:.0f}{suffix}"
    return str(count)
