"""Retrained models that differ in nothing but the seed, compared as if they were two methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from unlearnbench.analysis.derived.ks import ks_test
from unlearnbench.analysis.statistics.outcomes import Array, ByKey, Outcomes
from unlearnbench.analysis.statistics.paired import (
    LEVEL,
    Matched,
    comparable,
    p_values,
    row_outcomes,
)
from unlearnbench.analysis.table import Column, Row
from unlearnbench.analysis.variance.families import Family

_RETRAINED = ("retrained", "null")  # roles of models that never saw what is to be forgotten


@dataclass(frozen=True)
class NullPairs:
    """Every two retrained models of a family in one column, on the same items."""

    column: Column
    n_pairs: int
    n_items: int  # of the pair that has the fewest
    n_paired: int  # told apart by the paired sign-flip test at the 5% level
    n_ks: int  # by the two-sample Kolmogorov-Smirnov test of their items
    largest: float  # difference in printed units, whatever its sign


def null_pairs(family: Family, columns: Sequence[Column], by_key: ByKey) -> list[NullPairs]:
    """By column; those that no two models have outcomes by item in are left out."""
    rows = _retrained(family, by_key)
    made = []
    for column in columns:
        outcomes = [row_outcomes(row, column, by_key) for row in rows]
        matched = [comparable(*two) for two in combinations(outcomes, 2)]
        pairs = [pair for pair in matched if pair is not None]
        if pairs:
            made.append(_counted(column, pairs))
    return made


def _retrained(family: Family, by_key: ByKey) -> list[Row]:
    """One row for each model."""
    rows: dict[str, Row] = {}
    for row in (row for group in family.groups for row in group.rows):
        if row.role in _RETRAINED and row.runs and row.runs[0].key in by_key:
            rows.setdefault(by_key[row.runs[0].key].model.weights_sha256, row)
    return list(rows.values())


def _counted(column: Column, pairs: Sequence[Matched]) -> NullPairs:
    return NullPairs(
        column,
        len(pairs),
        min(first.n_documents for first, _ in pairs),
        sum(p < LEVEL for p in p_values(pairs)),
        sum(ks_test(_items(a), _items(b)).p < LEVEL for a, b in pairs),
        max(abs(a.value - b.value) for a, b in pairs),
    )


def _items(outcomes: Outcomes) -> Array:
    """Each item's mean over its runs."""
    return np.concatenate([stratum.values.mean(axis=0) for stratum in outcomes.strata])
