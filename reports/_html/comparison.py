"""A comparison table as the page shows it, and what it tells of each number on demand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unlearnbench.analysis.table import ABSENT, EPOCHS, INDISTINCT, Cell, Column, Group, Row, Table
from unlearnbench.results.record import Result


@dataclass(frozen=True)
class Number:
    """One printed number."""

    column: str
    text: str
    sort: str  # what the browser orders by; empty: nothing was measured
    rank: int | None
    marks: str  # footnote markers of the number itself
    spread: str  # empty without one
    interval: str  # '[40.1, 43.2]'; empty without one


@dataclass(frozen=True)
class Line:
    """One row."""

    number: int  # among all rows of the page; its provenance goes by it
    row: Row
    is_reference: bool
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Comparison:
    """The rows of one group under some columns."""

    group: Group
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    @property
    def has_intervals(self) -> bool:
        """Whether any number has one."""
        return any(number.interval for line in self.lines for number in line.numbers)

    @property
    def has_spread(self) -> bool:
        """Whether any number has one."""
        return any(number.spread for line in self.lines for number in line.numbers)

    @property
    def has_doubt(self) -> bool:
        """Whether any best value is not told apart from the second."""
        return any(INDISTINCT in number.marks for line in self.lines for number in line.numbers)


def comparisons(
    table: Table, columns: Sequence[Column], first_number: int = 0
) -> tuple[Comparison, ...]:
    """One per group, its rows numbered on from the first."""
    groups, number = [], first_number
    for group in table.groups:
        lines = tuple(_line(number + i, group, row, columns) for i, row in enumerate(group.rows))
        groups.append(Comparison(group, tuple(columns), lines))
        number += len(lines)
    return tuple(groups)


def row_facts(table: Table, by_key: Mapping[str, Result]) -> list[dict[str, Any]]:
    """Of every row of the table, in the order of their numbers: its runs and all its cells."""
    columns = (*table.columns, *table.other_columns)
    return [_facts(group, row, columns, by_key) for group in table.groups for row in group.rows]


def column_facts(table: Table) -> dict[str, dict[str, Any]]:
    """Of every column by name: its label and which way is better."""
    every = (*table.columns, *table.other_columns)
    return {c.name: {"label": c.label, "higher": c.higher_is_better} for c in every}


def _line(number: int, group: Group, row: Row, columns: Sequence[Column]) -> Line:
    numbers = tuple(_number(group, row, column) for column in columns)
    return Line(number, row, row.role in ("before", "retrained"), numbers)


def _number(group: Group, row: Row, column: Column) -> Number:
    cell, spread = row.cells.get(column.name), group.spread(row, column)
    doubt = INDISTINCT if cell and cell.indistinct else ""
    return Number(
        column=column.name,
        text=group.text(row, column),
        sort=_sort(cell),
        rank=cell.rank if cell else None,
        marks=doubt + group.flag(row, column),
        spread="" if spread == ABSENT else spread,
        interval=_interval(cell, column, group.cap),
    )


def _sort(cell: Cell | None) -> str:
    if cell is None or math.isnan(cell.mean):
        return ""
    # Python's 'inf' is 'Infinity' in JavaScript.
    return repr(cell.mean).replace("inf", "Infinity")


def _interval(cell: Cell | None, column: Column, cap: float | None) -> str:
    if cell is None or cell.low is None or cell.high is None:
        return ""
    return f"[{column.text(cell.low, cap)}, {column.text(cell.high, cap)}]"


def _facts(
    group: Group, row: Row, columns: Sequence[Column], by_key: Mapping[str, Result]
) -> dict[str, Any]:
    results = [by_key.get(run.key) for run in row.runs]
    return {
        "group": group.title,
        "label": row.label,
        "compared": row.compared,
        "runs": [
            {"set": run.forget_set, "seed": run.seed, "key": run.key if result else None}
            for run, result in zip(row.runs, results, strict=True)
        ],
        "failures": _failures(row),
        "scored": list(group.scored),
        "cells": {c.name: _cell(group, row, c, results) for c in columns if c.name in row.cells},
    }


def _failures(row: Row) -> list[str]:
    if len(row.failed_runs) != len(row.failures):  # a table that no results stand behind
        return list(row.failures)
    return [
        f"forget set {run.forget_set}, seed {run.seed}: {reason}"
        for run, reason in zip(row.failed_runs, row.failures, strict=True)
    ]


def _cell(
    group: Group, row: Row, column: Column, results: Sequence[Result | None]
) -> dict[str, Any]:
    cell, number = row.cells[column.name], _number(group, row, column)
    return {
        "text": number.text,
        "spread": number.spread,
        "interval": number.interval,
        "marks": number.marks,
        "rank": cell.rank,
        "n": cell.n,
        "documents": list(cell.n_documents),
        "degenerate": cell.n_degenerate,
        "by_run": [_of_run(result, column) for result in results],
    }


def _of_run(result: Result | None, column: Column) -> list[Any] | None:
    """The value as printed, uncapped, the number of documents and the standard error."""
    if result is None:
        return None
    if column.name == EPOCHS.name:
        return [str(result.trace.n_epochs), None, ""] if result.trace else None
    score = result.scores.get(column.task, {}).get(column.metric)
    if score is None:
        return None
    error = "" if score.stderr is None else column.text(score.stderr * column.scale)
    return [column.text(score.value * column.scale), score.n, error]
