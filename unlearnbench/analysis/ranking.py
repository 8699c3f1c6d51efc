"""Ranks and normalised scores over the compared rows of a group."""

from collections.abc import Sequence
from dataclasses import replace

from unlearnbench.analysis.columns import S_M, S_Z, Column
from unlearnbench.analysis.normalized import normalized_scores
from unlearnbench.analysis.table import Cell, Group, Row


def compare(group: Group, columns: Sequence[Column]) -> Group:
    """The group with s_z, s_m and ranks over its compared rows (eq. 11)."""
    scored = _with_scores(group, columns)
    rows = list(scored.rows)
    for column in (*columns, S_Z, S_M):
        values = [row.mean(column.name) if row.compared else None for row in rows]
        ranks = _ranks(column, values, group.cap)
        rows = [_with_rank(row, column.name, rank) for row, rank in zip(rows, ranks, strict=True)]
    return replace(scored, rows=tuple(rows))


def _with_scores(group: Group, columns: Sequence[Column]) -> Group:
    compared = [row for row in group.rows if row.compared]
    counted = {c.name: c for c in columns if c.in_score}
    values = {name: [row.mean(name) for row in compared] for name in counted}
    directions = {name: bool(c.higher_is_better) for name, c in counted.items()}
    # The cap is applied to the mean, not run by run: only so do Table I's '>1000' follow from
    # the published runs (GPT-Neo 2.7B + KUMPR: four of five below 250).
    caps = {name: group.cap if c.capped else None for name, c in counted.items()}
    scores = normalized_scores(values, directions, caps)
    # Over one row, or no metric, there is nothing to normalise by.
    if len(compared) < 2 or not scores.metrics:
        return replace(group, not_scored=tuple(counted))
    pairs = iter(zip(scores.s_z, scores.s_m, strict=True))
    rows = tuple(_with_score(row, *next(pairs)) if row.compared else row for row in group.rows)
    return replace(group, rows=rows, scored=scores.metrics, not_scored=scores.left_out)


def _with_score(row: Row, s_z: float, s_m: float) -> Row:
    n = len(row.runs) or 1
    return replace(row, cells={**row.cells, S_Z.name: Cell(s_z, n=n), S_M.name: Cell(s_m, n=n)})


def _ranks(column: Column, values: Sequence[float | None], cap: float | None) -> list[int | None]:
    """1 for the best and 2 for the second best value; equal as printed is equal in rank."""
    printed = [_as_printed(column, value, cap) for value in values]
    known = {v for v in printed if v is not None}
    if sum(v is not None for v in printed) < 2:
        return [None] * len(values)
    first_two = sorted(known, reverse=bool(column.higher_is_better))[:2]
    return [first_two.index(v) + 1 if v in first_two else None for v in printed]


def _as_printed(column: Column, value: float | None, cap: float | None) -> float | None:
    if value is None or value != value:
        return None
    if column.is_over_cap(value, cap):
        return float("inf")
    return round(value, column.decimals)


def _with_rank(row: Row, name: str, rank: int | None) -> Row:
    if rank is None:
        return row
    return replace(row, cells={**row.cells, name: replace(row.cells[name], rank=rank)})
