"""What a table with intervals and marks says about them."""

from collections.abc import Iterator, Sequence

from unlearnbench.analysis.columns import SCORE_NAMES
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.paired import ALL_PAIRS_UP_TO
from unlearnbench.analysis.table import INDISTINCT, Note, Table

_INTERVALS = (
    "Intervals: 95% BCa bootstrap over documents, the runs held fixed; none for fewer than 10 "
    "documents, all alike, or not finite."
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


def few_runs(table: Table, n_runs: Sequence[int]) -> Iterator[Note]:
    """What a first by s_z or s_m without a mark is worth where there are few runs to resample."""
    few = {g.title: n for g, n in zip(table.groups, n_runs, strict=True) if g.scored and n < ENOUGH}
    for n in sorted(set(few.values())):
        titles = [title for title, count in few.items() if count == n]
        where = f"{listed(titles)}: " if len(titles) < len(table.groups) else ""
        yield Note("few_runs", f"{where}{_few_runs(n)}")


def _few_runs(n: int) -> str:
    if n < 2:
        return (
            "s_z and s_m: the rows have fewer than two runs in common, so the first bears no "
            f"{INDISTINCT} whether or not it should."
        )
    return (
        f"s_z and s_m: with {n} runs to resample, the first of equal rows goes unmarked in more "
        f"than 5% of tables; read an absent {INDISTINCT} with care."
    )


def _indistinct(table: Table, marked: set[str]) -> str:
    sizes = [len(group.compared) for group in table.groups]
    corrections = []
    if min(sizes) <= ALL_PAIRS_UP_TO:
        corrections.append("Holm's correction over the pairs of compared rows")
    if max(sizes) > ALL_PAIRS_UP_TO:
        corrections.append(
            f"Bonferroni's over all of them where there are more than {ALL_PAIRS_UP_TO} rows"
        )
    told = []
    if marked - set(SCORE_NAMES):
        told.append(
            "by a two-sided paired sign-flip test over documents at the 5% level, with "
            + ", ".join(corrections)
        )
    if marked & set(SCORE_NAMES):
        told.append("by s_z or s_m being first in fewer than 95% of the resamplings of runs")
    return f"Best as printed, but not told apart from the second: {listed(told, '; ')}."


def _untested(table: Table, untested: Sequence[tuple[int, str]]) -> str:
    labels = {column.name: column.label for column in table.metric_columns}
    by_columns: dict[tuple[str, ...], list[int]] = {}
    for at in dict.fromkeys(at for at, _ in untested):
        names = tuple(labels[name] for group, name in untested if group == at)
        by_columns.setdefault(names, []).append(at)
    told = []
    for names, groups in by_columns.items():
        where = f"{listed(table.groups[at].title for at in groups)}: "
        told.append((where if len(groups) < len(table.groups) else "") + listed(names))
    return (
        "Best and second share no outcomes by document that could be compared, so that the best "
        f"bears no {INDISTINCT} whether or not it should: {listed(told, '; ')}."
    )
