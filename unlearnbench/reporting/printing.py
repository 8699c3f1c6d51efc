"""How the sections print names and numbers: one place, so that all of them read alike."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from unlearnbench.analysis.table import ABSENT, PAPER_COLUMNS, Column, Note, Table
from unlearnbench.results.record import ROW_FIELDS

_SMALLEST_P = 0.001
_LARGE = 1000  # perplexities of a destroyed model: their differences have no decimals


def header(column: Column) -> str:
    """A column's label and which way is better: 'EL10 (%) ↓'."""
    return f"{column.label} {column.arrow}".strip()


def name(column: Column) -> str:
    """A column's label without its unit: 'LAMBADA'."""
    return column.label.partition(" (")[0]


def unit(column: Column) -> str:
    """What stands in brackets in a column's label: 'ACC'; empty if there are none."""
    return column.label.partition(" (")[2].rstrip(")")


def units(columns: Iterable[Column]) -> str:
    """What the columns named without unit are in: 'ACC in %: HellaSwag, LAMBADA'."""
    by_unit: dict[str, list[str]] = {}
    for column in columns:
        per_cent = " in %" if column.scale == 100 else ""
        by_unit.setdefault(unit(column) + per_cent, []).append(name(column))
    return "; ".join(f"{in_unit}: {', '.join(of)}" for in_unit, of in by_unit.items())


def stored(column: Column, value: float | None, cap: float | None = None) -> str:
    """A value in stored units (0.123) as the table prints it ('12.3'); '–' for none."""
    return column.text(None if value is None else value * column.scale, cap)


def row_columns(table: Table) -> dict[str, Column]:
    """How each value of a single row is printed: as its metric's record says, if it has one.

    Else it is the paper's column: a share in per cent if its label names a unit.
    """
    paper = (*PAPER_COLUMNS, Column("bleu", "BLEU (%)", False))
    columns = {c.name: replace(c, scale=100.0 if unit(c) else 1.0) for c in paper}
    columns |= {c.name: c for c in (*table.metric_columns, *table.other_columns) if c.task}
    return {name: columns[name] for name in ROW_FIELDS}


def facts(
    columns: Mapping[str, Column], values: Mapping[str, float]
) -> tuple[tuple[str, str], ...]:
    """Printed name and value of those columns that were measured."""
    return tuple((c.label, stored(c, values[n])) for n, c in columns.items() if n in values)


def loss(value: float | None) -> str:
    """A loss term's mean to four digits: terms may be of any size."""
    return ABSENT if value is None else f"{value:#.4g}"


def difference(column: Column, value: float, more: int = 1) -> str:
    """A difference in printed units: signed, with so many more decimals than the values have.

    None from a thousand on.
    """
    if abs(value) >= _LARGE:
        return f"{value:+,.0f}"
    text = replace(column, decimals=column.decimals + more).text(value)
    return f"+{text}" if float(text) > 0 else text


def size(column: Column, value: float, is_log: bool = False) -> str:
    """The size of a difference, with one decimal more than the values have; '–' for NaN.

    Of logarithms it is a ratio: '×1.05'.
    """
    if not math.isfinite(value):
        return ABSENT
    if is_log:
        return f"×{math.exp(value):.3f}" if value < math.log(_LARGE) else f">×{_LARGE}"
    return replace(column, decimals=column.decimals + 1).text(value)


def threshold(column: Column, value: float) -> str:
    """A limit given in stored units, with one decimal more: 'MA (%) < 59.94'."""
    finer = replace(column, decimals=column.decimals + 1)
    return f"{column.label} < {stored(finer, value)}"


def interval(column: Column, low: float | None, high: float | None) -> str:
    """An interval of a difference: '-1.20 to +0.35'; '–' if there is none."""
    if low is None or high is None:
        return ABSENT
    return f"{difference(column, low)} to {difference(column, high)}"


def p_value(p: float) -> str:
    """Three decimals; what is smaller is '<0.001'."""
    return f"<{_SMALLEST_P}" if p < _SMALLEST_P else f"{p:.3f}"


def share(part: float) -> str:
    """A part of 1 in whole per cent; never '100%' of what is not all, nor '0%' of what is some."""
    per_cent = 100 * part
    if 0 < per_cent < 1:
        return "<1%"
    return ">99%" if 99 < per_cent < 100 else f"{per_cent:.0f}%"


def count(value: float | None) -> str:
    """A count, or a mean of counts, with thousands apart: '152,805'."""
    return ABSENT if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Seconds with one decimal; whole ones from a thousand on."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def mebibytes(n_bytes: float | None) -> str:
    """Memory in MiB."""
    return ABSENT if n_bytes is None else count(n_bytes / 2**20)


def anchor(*parts: str) -> str:
    """A name for files and links: 'case-nano-neo-0-68'."""
    # Hyphens are kept, so that alpha=0.1 and alpha=-0.1 do not become the same.
    return re.sub(r"[^a-z0-9-]+", "-", "-".join(parts).lower()).strip("-")


def notes(*kinds_and_texts: tuple[str, str] | tuple[str, str, str]) -> tuple[Note, ...]:
    """The notes that have something to say."""
    return tuple(Note(*note) for note in kinds_and_texts if note[1])
