"""Which rows are as near to the retrained model as a second retraining of it: the null pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from unlearnbench.analysis.table import Column, Group, Row

NULL = "null"  # the role of a retrained model of another seed


@dataclass(frozen=True)
class Scale:
    """How far one retrained model is from another, by a column that is such a distance."""

    column: Column
    rows: tuple[Row, ...]  # of the other retrained models
    value: float  # their mean, in printed units

    @classmethod
    def of(cls, group: Group, columns: Sequence[Column]) -> "Scale | None":
        """By the first of the leading columns that a null row has a value of; None if none has."""
        for column in (column for column in columns if column.leads):
            rows = tuple(r for r in group.rows if r.role == NULL and column.name in r.cells)
            if rows:
                return cls(column, rows, fmean(row.cells[column.name].mean for row in rows))
        return None

    def times(self, row: Row) -> float | None:
        """How many times as far a row is; None where it was not measured, or the scale is 0."""
        own = row.mean(self.column.name)
        return None if own is None or self.value == 0 else own / self.value

    def reaches(self, row: Row) -> bool:
        """Whether a row is as near, as printed."""
        own, decimals = row.mean(self.column.name), self.column.decimals
        return own is not None and round(own, decimals) <= round(self.value, decimals)

    @property
    def text(self) -> str:
        """'NEO (retrained, other seed), KL to retrained 0.312'."""
        label = self.column.label.partition(" (")[0]
        return f"{', '.join(r.label for r in self.rows)}, {label} {self.column.text(self.value)}"


def as_near(group: Group, columns: Sequence[Column]) -> tuple[Row, ...]:
    """The compared rows that are as near to the retrained model as a second retraining is."""
    scale = Scale.of(group, columns)
    return tuple(row for row in group.compared if scale is not None and scale.reaches(row))


def sentence(group: Group, columns: Sequence[Column]) -> str:
    """Which rows these are, and how many times as far the others; empty without a null row."""
    scale, near = Scale.of(group, columns), as_near(group, columns)
    if scale is None:
        return ""
    every = [n for row in group.compared if row not in near if (n := scale.times(row)) is not None]
    ends = dict.fromkeys(f"{n:.1f}" for n in sorted(every))
    span = " to ".join((*ends,)[:: max(1, len(ends) - 1)])
    rest = f" The rest: {span} times as far." if every else ""
    if not near:
        what = "No compared row is as near to the retrained model as a second retraining"
        return f"{what} ({scale.text}).{rest}"
    labels = ", ".join(row.label for row in near)
    return f"As near to the retrained model as a second retraining ({scale.text}): {labels}.{rest}"
