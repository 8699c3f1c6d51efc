"""Footnotes: which rows of a table carry a marker, and what it says of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from unlearnbench.analysis.columns import EPOCHS, SCORE_NAMES
from unlearnbench.analysis.table import LEFT_OUT, NOT_FORGOTTEN, PARTIAL, UNEQUAL, Group, Row


def mark(group: Group) -> Group:
    """The group with its rows' footnote markers, and whether its scores compare unlike means."""
    unequal = {row.label for row in group.rows if _is_unequal(row, group.rows)}
    rows = tuple(replace(row, markers=_markers(row, row.label in unequal)) for row in group.rows)
    flagged = any(_is_unequal(row, group.compared) for row in group.compared)
    return replace(group, rows=rows, scores_flagged=flagged)


def _markers(row: Row, unequal: bool) -> str:
    marks = (
        (NOT_FORGOTTEN, row.n_not_forgotten > 0),
        (LEFT_OUT, bool(row.failures)),
        (UNEQUAL, unequal),
        (PARTIAL, bool(_partial_columns(row))),
    )
    return "".join(marker for marker, applies in marks if applies)


def _is_unequal(row: Row, rows: Sequence[Row]) -> bool:
    """Whether its means are over fewer forget sets, or a method's over fewer seeds, than others."""
    if not row.runs:
        return False
    sets = {run.content_sha256 for other in rows for run in other.runs}
    if {run.content_sha256 for run in row.runs} != sets:
        return True
    if row.role != "method":  # a reference row has nothing random in it
        return False
    cells = {(run.content_sha256, run.seed) for o in rows if o.role == "method" for run in o.runs}
    return {(run.content_sha256, run.seed) for run in row.runs} != cells


def _partial_columns(row: Row) -> list[str]:
    skipped = (EPOCHS.name, *SCORE_NAMES)
    return [n for n, cell in row.cells.items() if n not in skipped and cell.n < len(row.runs)]


def not_forgotten(group: Group) -> str:
    """†: which methods hit the epoch limit, and how often."""
    rows = [row for row in group.rows if row.n_not_forgotten]
    told = listed(f"{row.label} in {row.n_not_forgotten} of {runs(len(row.runs))}" for row in rows)
    return f"Did not reach the stop line within the epoch limit: {told}." if rows else ""


def left_out(group: Group) -> str:
    """‡: which runs failed or collapsed, and why."""
    told = []
    for row in group.rows:
        if row.failures:
            total = len(row.failures) + len(row.runs)
            reasons = "; ".join(_counted(row.failures))
            told.append(f"{row.label} {len(row.failures)} of {runs(total)} ({reasons})")
    return f"Runs that failed or collapsed are in no mean: {listed(told)}." if told else ""


def _counted(reasons: Sequence[str]) -> list[str]:
    counts = Counter(_short(reason) for reason in reasons)
    return [reason if n == 1 else f"{reason}, {n} times" for reason, n in counts.items()]


def _short(reason: str, limit: int = 160) -> str:
    # A table has no room for a path or a dump; the result file and the JSON form hold all of it.
    line = " ".join(reason.split()).rstrip(".")
    return line if len(line) <= limit else f"{line[:limit].rstrip()}…"


def unequal(group: Group) -> str:
    """§: which rows are means over other forget sets or seeds."""
    rows = [row for row in group.rows if UNEQUAL in row.markers]
    if not rows:
        return ""
    most = max((row for row in group.rows if row.runs), key=lambda row: len(row.runs))
    told = listed(f"{row.label} over {described(row)}" for row in rows)
    flagged = " s_z and s_m compare unlike means here." if group.scores_flagged else ""
    rest = f"{most.label}: {described(most)}"
    return f"Means over other runs than the rest ({rest}): {told}.{flagged}"


def described(row: Row) -> str:
    """The runs that a row's means are over."""
    sets = sorted({run.forget_set for run in row.runs})
    seeds = sorted({run.seed for run in row.runs})
    return f"forget set{'s' * (len(sets) > 1)} {', '.join(sets)}, seed{'s' * (len(seeds) > 1)} " + (
        ", ".join(map(str, seeds))
    )


def partly_measured(group: Group, labels: Mapping[str, str]) -> str:
    """¶: which means are over fewer runs than their row."""
    told = [
        f"{row.label}'s {labels[name]} over {row.cells[name].n} of {runs(len(row.runs))}"
        for row in group.rows
        for name in _partial_columns(row)
        if name in labels
    ]
    return f"Not measured in every run: {listed(told)}." if told else ""


def degenerate(group: Group, labels: Mapping[str, str]) -> str:
    """Which scores come from one and the same answer to every document."""
    told = [
        f"{row.label}'s {labels[name]} in {cell.n_degenerate} of {runs(cell.n)}"
        for row in group.rows
        for name, cell in row.cells.items()
        if cell.n_degenerate and name in labels
    ]
    return f"The same answer to every document, so no measure of skill: {listed(told)}." * bool(
        told
    )


def runs(n: int) -> str:
    """'1 run', '5 runs'."""
    return f"{n} run" if n == 1 else f"{n} runs"


def span(counts: Iterable[int]) -> str:
    """'128', or '100 to 128' where they differ."""
    ordered = sorted(set(counts))
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def listed(items: Iterable[str], separator: str = ", ") -> str:
    """The items in one line."""
    return separator.join(items)
