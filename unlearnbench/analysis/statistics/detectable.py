"""What differences the measured documents and runs of a table could have shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median, stdev

import numpy as np

from unlearnbench.analysis.statistics import power
from unlearnbench.analysis.statistics.outcomes import ByKey, common_runs, run_key
from unlearnbench.analysis.statistics.paired import (
    ALL_PAIRS_UP_TO,
    LEVEL,
    Matched,
    best_and_second,
    comparable,
    corrections,
    effects,
    p_values,
    row_outcomes,
)
from unlearnbench.analysis.table import Column, Group, Row


@dataclass(frozen=True)
class PairPower:
    """Two rows in one column, in printed units; of perplexities in logarithms."""

    first: str  # row labels
    second: str
    difference: float  # first minus second, as tested
    error: float  # standard error of the difference over documents
    n_documents: int
    n_differing: int  # documents whose outcomes are not the same in both
    n_strata: int  # forget sets, or sets of an average
    p_corrected: float

    @property
    def is_told_apart(self) -> bool:
        """Whether the corrected p-value is under 5%."""
        return self.p_corrected < LEVEL and self.difference != 0

    def smallest(self, n_pairs: int = 1) -> float:
        """The smallest difference that would have been shown, corrected for so many pairs.

        NaN where so few documents differ that no p-value of theirs is under the level.
        """
        if not power.can_be_significant(self.n_differing, n_pairs):
            return math.nan
        return power.difference_shown(self.error, self.n_documents - self.n_strata, n_pairs)

    def documents_needed(self, n_pairs: int) -> int | None:
        """How many such documents can show a difference as large as the observed one."""
        sd = self.error * math.sqrt(self.n_documents)
        return power.documents_needed(self.difference, sd, n_pairs)


@dataclass(frozen=True)
class SeedPower:
    """Two rows' differences over seeds of the same forget sets."""

    n_seeds: int  # that both rows have
    sd: float  # of the differences over seeds, printed units or logarithms; NaN for one seed

    def needed(self, difference: float, n_pairs: int) -> int | None:
        """How many seeds can show that difference; None for one seed, which tells no spread."""
        return power.seeds_needed(difference, self.sd, n_pairs)


@dataclass(frozen=True)
class ColumnPower:
    """What one column of a group could have shown."""

    column: Column
    pairs: tuple[PairPower, ...]
    n_pairs: int  # that the correction is for
    is_log: bool  # perplexity: differences are of logarithms
    best: PairPower | None = None  # the best row against the second, where both stand alone
    seeds: SeedPower | None = None  # of the same two

    @property
    def error(self) -> float:
        """The median over pairs of their standard errors."""
        return median(pair.error for pair in self.pairs)

    @property
    def n_documents(self) -> int:
        """Documents of the pair that has most."""
        return max(pair.n_documents for pair in self.pairs)

    def smallest(self, n_pairs: int = 1) -> float:
        """The median over pairs of the smallest difference that is shown; NaN: none in half."""
        values = [pair.smallest(n_pairs) for pair in self.pairs]
        middle = median(math.inf if math.isnan(value) else value for value in values)
        return middle if math.isfinite(middle) else math.nan


def power_of(group: Group, column: Column, by_key: ByKey) -> ColumnPower | None:
    """What a column could have shown of the group's compared rows; None without such pairs.

    Pairs are those that `pairwise` compares, and so is their correction.
    """
    rows = group.compared
    outcomes = [row_outcomes(row, column, by_key) for row in rows]
    best = best_and_second(rows, column.name)
    places = best if len(rows) > ALL_PAIRS_UP_TO else list(combinations(range(len(rows)), 2))
    tested = {at: comparable(outcomes[at[0]], outcomes[at[1]]) for at in places}
    matched = {at: pair for at, pair in tested.items() if pair is not None}
    if not matched:
        return None
    n_pairs = math.comb(len(rows), 2) if len(rows) > ALL_PAIRS_UP_TO else len(matched)
    corrected = corrections(p_values(list(matched.values())), len(rows))
    pairs = {
        at: _pair(rows[at[0]], rows[at[1]], pair, p)
        for (at, pair), p in zip(matched.items(), corrected, strict=True)
    }
    is_log = any(pair[0].is_exp for pair in matched.values())
    first, seeds = None, None
    if len(best) == 1 and tuple(sorted(best[0])) in pairs:
        first = pairs[tuple(sorted(best[0]))]  # type: ignore[index]
        i, j = sorted(best[0])
        seeds = seeds_of(rows[i], rows[j], column, by_key, is_log)
    return ColumnPower(column, tuple(pairs.values()), n_pairs, is_log, first, seeds)


def _pair(first: Row, second: Row, pair: Matched, p: float) -> PairPower:
    of_documents = effects(*pair)
    sizes = [len(stratum.documents) for stratum in pair[0].strata]
    return PairPower(
        first=first.label,
        second=second.label,
        difference=float(of_documents.sum()),
        error=standard_error(of_documents, sizes),
        n_documents=len(of_documents),
        n_differing=int(np.count_nonzero(of_documents)),
        n_strata=len(sizes),
        p_corrected=p,
    )


def standard_error(of_documents: np.ndarray, sizes: Sequence[int]) -> float:
    """The standard error of the sum of documents' parts in a difference, drawn within strata.

    `sizes` are those of the strata, whose documents follow each other.  NaN for a stratum of one.
    """
    variance, start = 0.0, 0
    for n in sizes:
        part = of_documents[start : start + n]
        variance += n * float(part.var(ddof=1)) if n > 1 else math.nan
        start += n
    return math.sqrt(variance)


def seeds_of(
    first: Row, second: Row, column: Column, by_key: ByKey, is_log: bool = False
) -> SeedPower:
    """The spread over seeds of two rows' difference, each over the forget sets it has in all."""
    of_rows = [
        [by_key[run.key] for run in row.runs if run.key in by_key] for row in (first, second)
    ]
    runs = common_runs([tuple(map(run_key, of_row)) for of_row in of_rows])
    by_seed: dict[int, dict[str, float]] = {}
    for places in runs:
        a, b = (of_row[place] for of_row, place in zip(of_rows, places, strict=True))
        values = [column.value(result) for result in (a, b)]
        if None in values or (is_log and not all(v and v > 0 for v in values)):
            continue
        x, y = (math.log(v) if is_log else v for v in values if v is not None)
        seed = a.seed if a.role == "method" else b.seed
        by_seed.setdefault(seed, {})[a.forget_set.content_sha256] = x - y
    every = {sha for of_seed in by_seed.values() for sha in of_seed}
    means = [fmean(of.values()) for of in by_seed.values() if of.keys() == every]
    return SeedPower(len(means), stdev(means) if len(means) > 1 else math.nan)
