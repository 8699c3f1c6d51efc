"""A table with intervals, and with marks on best values that the second may well share."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from unlearnbench.analysis.derived.score import Derived
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.bootstrap import Interval, intervals
from unlearnbench.analysis.statistics.outcomes import ByKey, Outcomes
from unlearnbench.analysis.statistics.paired import (
    ALL_PAIRS_UP_TO,
    LEVEL,
    Matched,
    best_and_second,
    comparable,
    corrections,
    p_values,
    row_outcomes,
)
from unlearnbench.analysis.statistics.stability import count_common_runs, first_shares
from unlearnbench.analysis.table import (
    INDISTINCT,
    SCORE_NAMES,
    Cell,
    Column,
    Group,
    Note,
    Row,
    Table,
)

FIRST_SHARE = 0.95  # of the resamplings of runs: first in fewer is not surely first

Place = tuple[int, str, str]  # of a cell: group, row's label, column name
AllOutcomes = Mapping[Place, Outcomes | None]


def with_intervals(table: Table, results: ByKey) -> Table:
    """The table with every measured cell's interval, and ≈ on best values not told apart.

    `results` by key must hold those that the rows' runs name; a cell whose outcomes cannot
    be had document by document keeps no interval, and a best value that cannot be tested
    no mark, which a note says.  See `docs/statistics.md`.
    """
    outcomes: AllOutcomes = {
        (g, row.label, column.name): row_outcomes(row, column, results)
        for g, group in enumerate(table.groups)
        for row in group.rows
        for column in (*table.metric_columns, *table.other_columns)
        if column.name in row.cells
    }
    marked, untested = _marked(table, outcomes)
    marked += _unsure_scores(table, results)
    changes: dict[Place, dict[str, object]] = {
        place: ends._asdict()
        for place, ends in zip(outcomes, intervals(list(outcomes.values())), strict=True)
        if ends is not None
    }
    of_derived = _derived_intervals(table, results)
    changes |= {place: ends._asdict() for place, ends in of_derived.items()}
    own_notes = notes_on(
        table, len(changes) > len(of_derived), {name for _, _, name in marked}, untested
    )
    for place in marked:
        changes.setdefault(place, {})["indistinct"] = True
    groups = []
    for g, group in enumerate(table.groups):
        rows = []
        for row in group.rows:
            cells: dict[str, Cell] = {
                name: replace(cell, **changes.get((g, row.label, name), {}))  # type: ignore[arg-type]
                for name, cell in row.cells.items()
            }
            rows.append(replace(row, cells=cells))
        groups.append(replace(group, rows=tuple(rows)))
    derived = (Note("derived_intervals", _DERIVED_INTERVALS),) if of_derived else ()
    notes = (*table.notes, *own_notes, *derived, *few_runs(table, results))
    return replace(table, groups=tuple(groups), notes=notes)


def _derived_intervals(table: Table, results: ByKey) -> dict[Place, Interval]:
    """The intervals of cells whose scores bring their own."""
    ends = {
        (g, row.label, column.name): _derived_interval(row, column, results)
        for g, group in enumerate(table.groups)
        for row in group.rows
        for column in (*table.metric_columns, *table.other_columns)
        if column.name in row.cells
    }
    return {place: interval for place, interval in ends.items() if interval is not None}


def _derived_interval(row: Row, column: Column, results: ByKey) -> Interval | None:
    """Of the mean over the row's runs; None unless every run's score has one.

    The distances from value to end are added up as errors are: as they stand within a forget set,
    whose items its runs share, and in squares over forget sets.
    """
    below: dict[str, list[float]] = {}
    above: dict[str, list[float]] = {}
    for run in row.runs:
        score = column.score(results[run.key]) if run.key in results else None
        if score is None or math.isnan(score.value):
            continue
        if not isinstance(score, Derived) or score.low is None or score.high is None:
            return None
        below.setdefault(run.content_sha256, []).append(score.value - score.low)
        above.setdefault(run.content_sha256, []).append(score.high - score.value)
    if not below:
        return None
    n = sum(map(len, below.values()))
    down, up = (math.hypot(*map(sum, of.values())) / n for of in (below, above))
    mean = row.cells[column.name].mean
    return Interval(mean - down * column.scale, mean + up * column.scale)


def _marked(table: Table, outcomes: AllOutcomes) -> tuple[list[Place], list[tuple[int, str]]]:
    """Best metric cells not told apart from the second; groups' columns where nobody can tell."""
    marked: list[Place] = []
    pairs: dict[tuple[int, str, str, str], Matched | None] = {}  # group, column, best, second
    for g, group in enumerate(table.groups):
        rows = group.compared
        for name in (column.name for column in table.metric_columns):
            best = _first_places(rows, name)
            if len(best) > 1:  # they share the first place as printed
                marked += [(g, label, name) for label in best]
            for i, j in best_and_second(rows, name):
                first, second = rows[i].label, rows[j].label
                pairs[g, name, first, second] = _matched(outcomes, g, name, first, second)
    tested = {place: pair for place, pair in pairs.items() if pair is not None}
    for place, p in zip(tested, p_values(list(tested.values())), strict=True):
        g, name, *pair = place
        if not _told_apart(p, table.groups[g], outcomes, place):
            marked.append((g, pair[0], name))
    untested = dict.fromkeys(place[:2] for place, pair in pairs.items() if pair is None)
    return marked, list(untested)


def _told_apart(
    p: float, group: Group, outcomes: AllOutcomes, place: tuple[int, str, str, str]
) -> bool:
    """Whether the corrected p-value is under 0.05; the other pairs are tested only if it hangs
    on them: a Holm-corrected p lies between p and its Bonferroni correction."""
    g, name, *pair = place
    n_rows = len(group.compared)
    if p >= LEVEL or p * math.comb(n_rows, 2) < LEVEL:
        return p < LEVEL
    if n_rows > ALL_PAIRS_UP_TO:
        return False
    labels = [row.label for row in group.compared]
    matched = {both: _matched(outcomes, g, name, *both) for both in combinations(labels, 2)}
    pairs = {both: each for both, each in matched.items() if each is not None}
    corrected = corrections(p_values(list(pairs.values())), n_rows)
    of_pair = dict(zip(map(frozenset, pairs), corrected, strict=True))
    return of_pair[frozenset(pair)] < LEVEL


def _matched(
    outcomes: AllOutcomes, group: int, name: str, first: str, second: str
) -> Matched | None:
    return comparable(outcomes.get((group, first, name)), outcomes.get((group, second, name)))


def _unsure_scores(table: Table, results: ByKey) -> list[Place]:
    """The first by s_z and s_m that share it or are first in under 95% of the resamplings."""
    unsure = []
    for g, group in enumerate(table.groups):
        shares = first_shares(group, table.metric_columns, results)
        for name in SCORE_NAMES if shares else ():
            share = dict(zip((row.label for row in group.compared), shares[name], strict=True))
            best = _first_places(group.compared, name)
            unsure += [(g, r, name) for r in best if len(best) > 1 or share[r] < FIRST_SHARE]
    return unsure


def _first_places(rows: Sequence[Row], name: str) -> list[str]:
    return [row.label for row in rows if name in row.cells and row.cells[name].rank == 1]


_INTERVALS = (
    "Intervals: 95% BCa bootstrap over documents, the runs held fixed; none for fewer than 10 "
    "documents, all alike, or not finite."
)
_DERIVED_INTERVALS = (
    "Intervals of derived scores: 95% over items, the models held fixed: another retrained seed "
    "may lie outside, see docs/statistics.md; over several runs the errors add up within a forget "
    "set and in squares over forget sets."
)
ENOUGH = 5  # runs, from which on equal rows go unmarked in fewer than 5% of tables


def notes_on(
    table: Table, has_intervals: bool, marked: set[str], untested: Sequence[tuple[int, str]]
) -> Iterator[Note]:
    """The notes that apply; `marked` names columns, `untested` groups' columns."""
    if marked:
        yield Note("indistinct", _indistinct(table, marked), INDISTINCT)
    if untested:
        yield Note("untested", _untested(table, untested))
    if has_intervals:
        yield Note("intervals", _INTERVALS)


def few_runs(table: Table, results: ByKey) -> Iterator[Note]:
    """What a first by s_z or s_m without a mark is worth where there are few runs to resample."""
    n_runs = {g.title: count_common_runs(g, results) for g in table.groups if g.scored}
    few = {title: n for title, n in n_runs.items() if n < ENOUGH}
    for n in sorted(set(few.values())):
        titles = [title for title, count in few.items() if count == n]
        where = f"{listed(titles)}: " if len(titles) < len(table.groups) else ""
        text = (
            f"with {n} runs to resample, the first of equal rows goes unmarked in more than 5% of "
            f"tables; read an absent {INDISTINCT} with care."
            if n > 1
            else "the rows have fewer than two runs in common, so the first bears no "
            f"{INDISTINCT} whether or not it should."
        )
        yield Note("few_runs", f"{where}s_z and s_m: {text}")


def _indistinct(table: Table, marked: set[str]) -> str:
    sizes = [len(group.compared) for group in table.groups]
    corrections = []
    if min(sizes) <= ALL_PAIRS_UP_TO:
        corrections.append("Holm's correction over the pairs of compared rows")
    if max(sizes) > ALL_PAIRS_UP_TO:
        corrections.append(
            f"Bonferroni's over all of them where there are more than {ALL_PAIRS_UP_TO} rows"
        )
    tests = []
    if marked - set(SCORE_NAMES):
        tests.append(
            "by a two-sided paired sign-flip test over documents at the 5% level, with "
            + ", ".join(corrections)
        )
    if marked & set(SCORE_NAMES):
        tests.append("by s_z or s_m being first in fewer than 95% of the resamplings of runs")
    return f"Best as printed, but not told apart from the second: {listed(tests, '; ')}."


def _untested(table: Table, untested: Sequence[tuple[int, str]]) -> str:
    labels = {column.name: column.label for column in table.metric_columns}
    by_columns: dict[tuple[str, ...], list[int]] = {}
    for at in dict.fromkeys(at for at, _ in untested):
        names = tuple(labels[name] for group, name in untested if group == at)
        by_columns.setdefault(names, []).append(at)
    columns = []
    for names, groups in by_columns.items():
        where = f"{listed(table.groups[at].title for at in groups)}: "
        columns.append((where if len(groups) < len(table.groups) else "") + listed(names))
    return (
        "Best and second share no outcomes by document that could be compared, so that the best "
        f"bears no {INDISTINCT} whether or not it should: {listed(columns, '; ')}."
    )
