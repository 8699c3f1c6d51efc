"""Which metrics and scores take a sham for unlearning, or the retrained model for a failure.

A sham (role "sham") must not look like unlearning.  A metric of forgetting, or a score that judges
unlearning, by which it stands before a method is named; a metric of utility is not, as a sham keeps
utility by doing nothing.  So is one by which the retrained model, which must look like
unlearning, stands behind a sham, or a score by which it stands behind a method.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from unlearnbench.analysis.build_table import as_printed, scores_of
from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.footnotes import runs
from unlearnbench.analysis.table import S_M, S_Z, Cell, Column, Group, Note, Row, Table
from unlearnbench.results.record import Result

MOST_ROWS = 6  # named in a sentence; of more their number
MOST_SHAMS = 3
_DERIVED = "derived"  # task of the scores that are made of other metrics


@dataclass(frozen=True)
class Confusion:
    """A row, and others that a metric has on the wrong side of it."""

    column: Column
    row: Row
    others: tuple[Row, ...]  # not empty


def confusions(group: Group, columns: Sequence[Column]) -> list[Confusion]:
    """Each metric or score by which a sham, `row`, stands before methods, in printed values."""
    methods = [row for row in group.compared if row.role == "method"]
    made = []
    for sham in _of_role(group, "sham"):
        for column, (own, *others) in _judged(group, columns, sham, methods):
            behind = tuple(row for row in others if _is_before(column, own, row, group))
            made += [Confusion(column, sham, behind)] if behind else []
    return made


def unrecognised(group: Group, columns: Sequence[Column]) -> list[Confusion]:
    """Each metric by which the retrained model, or the null, stands behind a sham, and each score
    by which it stands behind a method.  `row` is the retrained model, `others` are before it."""
    methods = [row for row in group.compared if row.role == "method"]
    made = []
    for model in (*_of_role(group, "retrained"), *_of_role(group, "null")):
        before: dict[Column, list[Row]] = {}
        # One sham at a time, so that s_z and s_m are not over twenty rows of noise.
        for others in (methods, *([sham] for sham in _of_role(group, "sham"))):
            for column, ranked in _judged(group, columns, model, others):
                before.setdefault(column, []).extend(
                    row
                    for row in ranked[1:]
                    if (row.role == "sham" or _is_score(column))
                    and _is_before(column, row, ranked[0], group)
                )
        made += [Confusion(column, model, tuple(rows)) for column, rows in before.items() if rows]
    return made


def _of_role(group: Group, role: str) -> list[Row]:
    return [row for row in group.rows if row.role == role and row.cells]


def _is_score(column: Column) -> bool:
    return column in (S_Z, S_M) or column.task == _DERIVED


def _judged(
    group: Group, columns: Sequence[Column], row: Row, others: Sequence[Row]
) -> Iterator[tuple[Column, list[Row]]]:
    """Each column that judges unlearning, with the row and the others that have a value in it.

    s_z and s_m are what each would have, were the row compared, too.
    """
    for column in columns:
        if column.judges_forgetting and column.name in row.cells:
            yield column, [row, *(other for other in others if column.name in other.cells)]
    scored = _scored_with(group, columns, row, others)
    if scored:
        yield S_Z, scored
        yield S_M, scored


def _scored_with(
    group: Group, columns: Sequence[Column], row: Row, others: Sequence[Row]
) -> list[Row]:
    """The row and the others with s_z and s_m over the compared rows and themselves.

    Each of the others that is not compared is scored as if it were, too.  Empty where the scores
    would be over other metrics than the table's.
    """
    if not group.scored:
        return []
    added = [row, *(other for other in others if not other.compared)]
    every = [*added, *group.compared]
    scores = scores_of(every, [c for c in columns if c.name in group.scored], group.cap)
    if set(scores.metrics) != set(group.scored):
        return []
    by_label = {
        of.label: replace(of, cells={**of.cells, S_Z.name: Cell(z), S_M.name: Cell(m)})
        for of, z, m in zip(every, scores.s_z, scores.s_m, strict=True)
    }
    return [by_label[one.label] for one in (row, *others)]


def _is_before(column: Column, first: Row, second: Row, group: Group) -> bool:
    """Whether the first is better, as printed."""
    pair = [as_printed(column, row.mean(column.name), group.cap) for row in (first, second)]
    if pair[0] is None or pair[1] is None:
        return False
    return pair[0] > pair[1] if column.higher_is_better else pair[0] < pair[1]


# ---- in words


def notes_on_shams(table: Table, by_key: Mapping[str, Result]) -> tuple[Note, ...]:
    """The notes of every group that has sham rows; a group is named where there are several.

    `by_key` are the results that the rows' runs name.
    """
    made = []
    every = (*table.metric_columns, *table.other_columns)
    for group in table.groups:
        start = f"{group.title}: " if len(table.groups) > 1 else ""
        made += [
            Note(kind, start + text) for kind, text in _sentences(group, every, by_key) if text
        ]
    return tuple(made)


def _sentences(
    group: Group, columns: Sequence[Column], by_key: Mapping[str, Result]
) -> Iterator[tuple[str, str]]:
    shams = _of_role(group, "sham")
    if not shams:
        return
    scores = "" if group.benchmark else " and not in s_z and s_m"
    labels = ", ".join(row.label for row in shams)
    yield "shams", f"Must not look like unlearning, not ranked{scores}: {labels}."
    yield "sham_settings", _settings(group, shams)
    yield "sham_forgotten", "" if group.benchmark else _taken_for_forgotten(shams, by_key)
    yield from _merged("sham_beats", _of_shams(group, confusions(group, columns)))
    yield from _merged("unrecognised", _of_retrained(unrecognised(group, columns)))


def _merged(kind: str, by_column: Iterable[tuple[Column, str]]) -> Iterator[tuple[str, str]]:
    """A sentence for all columns of which the same is to be said."""
    columns: dict[str, list[str]] = {}
    for column, text in by_column:
        columns.setdefault(text, []).append(column.label.partition(" (")[0])
    for text, labels in columns.items():
        yield kind, f"By {', '.join(labels)} {text}."
    if kind == "sham_beats" and not columns:
        yield kind, "No metric of forgetting and no score sets a sham before a method."


def _of_shams(group: Group, found: Sequence[Confusion]) -> Iterator[tuple[Column, str]]:
    """'NEO + noise (ICU) stands before NEO + KL, NEO + NPO'; the strongest shams by name."""
    n_methods = sum(row.role == "method" for row in group.compared)
    for column in dict.fromkeys(one.column for one in found):
        strongest = sorted((one for one in found if one.column == column), key=_n_others)
        parts = [
            f"{one.row.label} stands before {_listed(one.others, f'of {n_methods} methods')}"
            for one in strongest[:MOST_SHAMS]
        ]
        if further := strongest[MOST_SHAMS:]:
            most = len(further[0].others)
            parts.append(f"{len(further)} further shams before {most} at most")
        yield column, "; ".join(parts)


def _n_others(found: Confusion) -> int:
    return -len(found.others)


def _of_retrained(found: Sequence[Confusion]) -> Iterator[tuple[Column, str]]:
    for one in found:
        behind = _listed(one.others, "rows")
        yield one.column, f"{one.row.label}, which must look like unlearning, is behind {behind}"


def _listed(rows: Sequence[Row], what: str) -> str:
    if len(rows) <= MOST_ROWS:
        return ", ".join(row.label for row in rows)
    return f"{len(rows)} {what}"


def _taken_for_forgotten(shams: Sequence[Row], by_key: Mapping[str, Result]) -> str:
    """Which shams the stop line takes for unlearned, and how often."""
    ended = {row.label: sum(_is_forgotten(by_key[run.key]) for run in row.runs) for row in shams}
    reached = ", ".join(
        f"{row.label} in {ended[row.label]} of {runs(len(row.runs))}"
        for row in shams
        if ended[row.label]
    )
    return f"Under the stop line, which takes them for unlearned: {reached}." if reached else ""


def _is_forgotten(result: Result) -> bool:
    return result.trace is not None and result.trace.outcome == "forgotten"


def _settings(group: Group, shams: Sequence[Row]) -> str:
    """What shams of their own, not of a method's update, were run with and why."""
    methods = {row.method for row in group.rows if row.role == "method"}
    parts = []
    for row in (row for row in shams if row.origins and row.method not in methods):
        settings = ", ".join(
            f"{name.replace('_', ' ')} {format_value(row.settings[name])} ({origin})"
            for name, origin in row.origins.items()
        )
        parts.append(f"{row.label}: {settings}")
    return f"{'; '.join(parts)}." if parts else ""
