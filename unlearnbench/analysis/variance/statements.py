"""What trainings say of an order: who was better in how many, and of a training to come."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from unlearnbench.analysis.build_table import scores_of
from unlearnbench.analysis.statistics.outcomes import ByKey, run_key
from unlearnbench.analysis.table import S_Z, SCORE_NAMES, Cell, Column, Row
from unlearnbench.analysis.variance.families import Family, Line
from unlearnbench.results.record import Result

_SAME = 1e-9  # scores that differ by less are a tie


@dataclass(frozen=True)
class Order:
    """Whether the first of two lines is better than the second, training by training."""

    n_trainings: int
    n_better: int
    n_worse: int  # the others are ties
    next_better: float | None  # the probability in a new training; None for one, or no variation


def order_of(differences: Sequence[float]) -> Order:
    """Of differences by training [T], positive where the first is better.

    A new training's difference has the predictive distribution of a normal sample: Student's with
    T - 1 degrees of freedom around the mean, of scale s * sqrt(1 + 1/T).
    """
    from scipy.special import stdtr

    values = np.asarray(differences, float)
    n = len(values)
    spread = float(values.std(ddof=1)) if n > 1 else 0.0
    scale = spread * math.sqrt(1.0 + 1.0 / n) if n else 0.0
    return Order(
        n,
        int((values > 0).sum()),
        int((values < 0).sum()),
        float(stdtr(n - 1, float(values.mean()) / scale)) if scale > 0.0 else None,
    )


def table_differences(first: Line, second: Line, column: Column, is_log: bool) -> list[float]:
    """By training that has both: how much better the first's own value in the table is.

    In printed units, or of a perplexity in logarithms; better is positive.
    """
    made = []
    for a, b in zip(first.rows, second.rows, strict=True):
        values = [row.mean(column.name) if row is not None else None for row in (a, b)]
        one, other = (None if v is None or not math.isfinite(v) else v for v in values)
        if one is None or other is None or (is_log and min(one, other) <= 0.0):
            continue
        more = math.log(one / other) if is_log else one - other
        made.append(more if column.higher_is_better else -more)
    return made


def rankings_of(family: Family, columns: Sequence[Column], by_key: ByKey) -> list[list[Row]]:
    """The compared lines' rows of each training and seed alone, means over forget sets.

    Over the lines that every training has, the forget sets that all of them have with that seed; a
    row without seeds stands beside every one.
    """
    lines = [line for line in family.compared if None not in line.rows]
    rankings = []
    for t in range(len(family.groups)):
        of_lines = [_results(line.rows[t], by_key) for line in lines]
        seeded = [{s for _, s in of if s is not None} for of in of_lines]
        seeds = sorted(set.intersection(*filter(None, seeded))) if any(seeded) else []
        every: list[int | None] = [*seeds] if seeds else [None]
        for seed in every:
            rows = _rows_of_seed(lines, of_lines, seed, columns)
            rankings += [rows] if rows else []
    return rankings


Results = Mapping[tuple[str, int | None], Result]  # by forget set and seed


def _results(row: Row | None, by_key: ByKey) -> Results:
    runs = [(run, by_key[run.key]) for run in (row.runs if row else ()) if run.key in by_key]
    return {(run.content_sha256, run_key(result).seed): result for run, result in runs}


def _rows_of_seed(
    lines: Sequence[Line], of_lines: Sequence[Results], seed: int | None, columns: Sequence[Column]
) -> list[Row]:
    forget_sets = [{f for f, s in of if s in (seed, None)} for of in of_lines]
    common = sorted(set.intersection(*forget_sets)) if forget_sets else []
    rows = []
    for line, of in zip(lines, of_lines, strict=True):
        chosen = [of[f, seed] if (f, seed) in of else of[f, None] for f in common]
        cells = {}
        for column in columns:
            values = [v for v in map(column.value, chosen) if v is not None and not math.isnan(v)]
            if values and len(values) == len(chosen):
                cells[column.name] = Cell(fmean(values))
        rows.append(Row(line.label, line.role, cells))
    return rows if common else []


@dataclass(frozen=True)
class Firsts:
    """In how many of the rankings each line is first; a tie counts for all in it."""

    n_rankings: int
    times: Mapping[str, int]  # by line's label


def firsts_of(
    rankings: Sequence[Sequence[Row]], column: Column, columns: Sequence[Column], cap: float | None
) -> Firsts | None:
    """Who is first in a column, or by s_z or s_m over `columns`; None where nothing is ranked."""
    times: dict[str, int] = {}
    n = 0
    for rows in rankings:
        values = _values(rows, column, columns, cap)
        if len(values) < max(2, len(rows)) or column.higher_is_better is None:
            continue
        n += 1
        best = (max if column.higher_is_better else min)(values.values())
        for label, value in values.items():
            is_first = abs(value - best) <= _SAME * max(1.0, abs(best))
            times[label] = times.get(label, 0) + is_first
    return Firsts(n, times) if n else None


def _values(
    rows: Sequence[Row], column: Column, columns: Sequence[Column], cap: float | None
) -> dict[str, float]:
    if column.name not in SCORE_NAMES:
        means = {row.label: row.mean(column.name) for row in rows}
        return {label: mean for label, mean in means.items() if mean is not None}
    scores = scores_of(rows, columns, cap)
    of = scores.s_z if column.name == S_Z.name else scores.s_m
    return dict(zip((row.label for row in rows), of, strict=True)) if scores.metrics else {}
