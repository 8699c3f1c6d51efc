"""s_z and s_m of both sides over what both have: the only ones that can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unlearnbench.analysis.build_table import compare
from unlearnbench.analysis.columns import SCORE_NAMES, Column
from unlearnbench.analysis.table import Group, Row
from unlearnbench.reporting.published.matching import Beside
from unlearnbench.reporting.published.tables import row_of


@dataclass(frozen=True)
class SharedScores:
    """Scores by the label of a line; `metrics` and `labels` are what they are over."""

    own: Mapping[str, Mapping[str, float]]
    printed: Mapping[str, Mapping[str, float]]
    metrics: tuple[str, ...]
    labels: tuple[str, ...]


def shared_scores(beside: Beside, columns: Sequence[Column]) -> SharedScores | None:
    """Both sides scored anew over the lines that both compare and the metrics that both have.

    None if there are fewer than two such lines, and if one printed row stands beside several
    of one's own: it would count twice.
    """
    lines = [line for line in beside.matched if line.own and line.own.compared]
    printed = [line.printed for line in lines if line.printed]
    if len(lines) < 2 or len({id(row) for row in printed}) < len(printed):
        return None
    names = [line.label for line in lines]
    theirs = [replace(row_of(row), label=n) for row, n in zip(printed, names, strict=True)]
    ours = [replace(line.own, label=line.label) for line in lines if line.own]
    both = [c for c in columns if c.in_score and all(c.name in r.cells for r in (*ours, *theirs))]
    own, other = _scored(beside.group, ours, both), _scored(beside.group, theirs, both)
    if not own.scored or own.scored != other.scored:
        return None
    return SharedScores(_by_label(own), _by_label(other), own.scored, tuple(names))


def _scored(group: Group, rows: Sequence[Row], columns: Sequence[Column]) -> Group:
    cap = group.cap if group.cap is not None else 1000.0  # '>1000' is no number to score
    return compare(replace(group, rows=tuple(rows), cap=cap), columns)


def _by_label(group: Group) -> dict[str, dict[str, float]]:
    return {row.label: {name: row.cells[name].mean for name in SCORE_NAMES} for row in group.rows}
