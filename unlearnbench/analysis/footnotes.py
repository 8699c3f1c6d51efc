"""What stands under a table: its notes, and which rows carry a marker."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from unlearnbench.analysis import nearness
from unlearnbench.analysis.conditions import format_value, single_settings
from unlearnbench.analysis.table import (
    AS_NEAR,
    EPOCHS,
    LEFT_OUT,
    NOT_FORGOTTEN,
    P_VALUE,
    PAPER_COLUMNS,
    PARTIAL,
    SCORE_NAMES,
    UNEQUAL,
    Column,
    Group,
    Note,
    Row,
)
from unlearnbench.results.record import IMPORTED, TRAINED, StopRecord

_SYNTHETIC = "A synthetic test bench, not a claim about real models."
MOST_NAMED = 20  # metrics, in the list of those that a table does not show
LONGEST_REASON = 160  # a table has no room for a path or a dump; result file and JSON hold all


def mark(group: Group, columns: Sequence[Column] = ()) -> Group:
    """The group with its rows' footnote markers, and whether its scores compare unlike means."""
    rows, near = [], {row.label for row in nearness.as_near(group, columns)}
    for row in group.rows:
        marks = {
            NOT_FORGOTTEN: row.n_not_forgotten > 0 and not group.benchmark,
            LEFT_OUT: bool(row.failures),
            UNEQUAL: _is_unequal(row, group.rows),
            PARTIAL: bool(_partial_columns(row)),
            AS_NEAR: row.label in near,
        }
        rows.append(replace(row, markers="".join(m for m, applies in marks.items() if applies)))
    flagged = any(_is_unequal(row, group.compared) for row in group.compared)
    return replace(group, rows=tuple(rows), scores_flagged=flagged)


def notes_of(
    groups: Sequence[Group], columns: Sequence[Column], other: Sequence[Column]
) -> tuple[Note, ...]:
    """Every note of the table; what holds for all groups is said once, the rest names its group."""
    every = {c.name: c.label for c in (*columns, EPOCHS, *other)}
    p_values = {c.name: c.label for c in (*columns, *other) if c.unit == P_VALUE}
    notes: dict[tuple[str, str], dict[str, list[str]]] = {}  # kind, marker -> text -> titles
    for group in groups:
        for kind, marker, text in _sentences(group, columns, every, p_values):
            if group.benchmark and kind in _OF_STOP_LINE_AND_SCORES:
                continue
            notes.setdefault((kind, marker), {}).setdefault(text, []).append(group.title)
    made = [
        Note(kind, text if len(titles) == len(groups) else f"{listed(titles)}: {text}", marker)
        for (kind, marker), by_text in notes.items()
        for text, titles in by_text.items()
        if text
    ]
    if other:
        names = listed(c.label for c in other)
        if len(other) > MOST_NAMED:
            names = f"{len(other)} other metrics"
        made.append(Note("other", f"Also measured, in this table's CSV and JSON forms: {names}."))
    return tuple(made)


# A benchmark says in its own columns what is forgotten, and has no s_z and s_m.
_OF_STOP_LINE_AND_SCORES = ("not_forgotten", "scores", "cap", "stop_line")


def _sentences(
    group: Group,
    columns: Sequence[Column],
    every: Mapping[str, str],
    p_values: Mapping[str, str],
) -> Iterator[tuple[str, str, str]]:
    """Kind, marker and text of each note, in their order; the text is empty where none applies."""
    labels = {c.name: c.label for c in (*columns, EPOCHS)}
    has_near = any(AS_NEAR in row.markers for row in group.rows)
    yield "synthetic", "", _SYNTHETIC if group.is_synthetic else ""
    yield "not_forgotten", NOT_FORGOTTEN, not_forgotten(group)
    yield "left_out", LEFT_OUT, left_out(group)
    yield "unequal", UNEQUAL, unequal(group)
    yield "partial", PARTIAL, _partly_measured(group, labels)
    yield "as_near", AS_NEAR if has_near else "", nearness.sentence(group, columns)
    yield "documents", "", _documents(group, labels)
    yield "degenerate", "", degenerate(group, every)
    yield "scores", "", _scores(group, labels)
    yield "references", "", _references(group)
    yield "cap", "", _capped(group)
    yield "means", "", _means(group)
    yield "p_values", "", _p_values(group, p_values)
    yield "stop_line", "", _stop_line(group)
    yield "protocol", "", _protocol(group)
    yield "epoch_limit", "", _by_setting(group, "max_epochs", "Epoch limit")
    yield "learning_rate", "", _by_setting(group, "learning_rate", "Learning rates")
    yield "schedule", "", _schedules(group)
    yield "superseded", "", _superseded(group)


def _is_unequal(row: Row, rows: Sequence[Row]) -> bool:
    """Whether its means are over fewer forget sets, or a method's over fewer seeds, than others."""
    if not row.runs:
        return False
    sets = {run.content_sha256 for other in rows for run in other.runs}
    if {run.content_sha256 for run in row.runs} != sets:
        return True
    if row.role not in TRAINED:  # a reference row has nothing random in it
        return False
    cells = {(run.content_sha256, run.seed) for o in rows if o.role in TRAINED for run in o.runs}
    return {(run.content_sha256, run.seed) for run in row.runs} != cells


def _partial_columns(row: Row) -> list[str]:
    skipped = (EPOCHS.name, *SCORE_NAMES)
    return [n for n, cell in row.cells.items() if n not in skipped and cell.n < len(row.runs)]


def not_forgotten(group: Group) -> str:
    """†: which methods ended before the stop line, and how often."""
    of_rows = listed(
        f"{row.label} in {row.n_not_forgotten} of {runs(len(row.runs))}"
        for row in group.rows
        if row.n_not_forgotten
    )
    # By another end than the line or the limit, a run may also have left the line again.
    missed = [row for row in group.rows if row.n_not_forgotten]
    by_limit = not any("until" in row.schedule for row in missed)
    what = "Did not reach the stop line within the epoch limit"
    return (
        f"{what if by_limit else 'Not under the stop line at the end'}: {of_rows}."
        if of_rows
        else ""
    )


def left_out(group: Group) -> str:
    """‡: which runs failed or collapsed, and why."""
    of_rows = []
    for row in (row for row in group.rows if row.failures):
        total = len(row.failures) + len(row.runs)
        lines = (" ".join(reason.split()).rstrip(".") for reason in row.failures)
        counts = Counter(
            line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON].rstrip()}…"
            for line in lines
        )
        reasons = "; ".join(r if n == 1 else f"{r}, {n} times" for r, n in counts.items())
        of_rows.append(f"{row.label} {len(row.failures)} of {runs(total)} ({reasons})")
    return f"Runs that failed or collapsed are in no mean: {listed(of_rows)}." if of_rows else ""


def unequal(group: Group) -> str:
    """§: which rows are means over other forget sets or seeds."""
    rows = [f"{row.label} over {described(row)}" for row in group.rows if UNEQUAL in row.markers]
    if not rows:
        return ""
    most = max((row for row in group.rows if row.runs), key=lambda row: len(row.runs))
    flagged = " s_z and s_m compare unlike means here." if group.scores_flagged else ""
    rest = f"{most.label}: {described(most)}"
    return f"Means over other runs than the rest ({rest}): {listed(rows)}.{flagged}"


def _partly_measured(group: Group, labels: Mapping[str, str]) -> str:
    """¶: which means are over fewer runs than their row."""
    cells = listed(
        f"{row.label}'s {labels[name]} over {row.cells[name].n} of {runs(len(row.runs))}"
        for row in group.rows
        for name in _partial_columns(row)
        if name in labels
    )
    return f"Not measured in every run: {cells}." if cells else ""


def _documents(group: Group, labels: Mapping[str, str]) -> str:
    by_column = []
    for name, label in labels.items():
        counts = {n for row in group.rows if name in row.cells for n in row.cells[name].n_documents}
        if len(counts) > 1:
            by_column.append(f"{label} ({listed(map(str, sorted(counts)))})")
    columns = listed(by_column)
    return f"Measured on different numbers of documents: {columns}." if columns else ""


def degenerate(group: Group, labels: Mapping[str, str]) -> str:
    """Which scores come from one and the same answer to every document."""
    cells = listed(
        f"{row.label}'s {labels[name]} in {cell.n_degenerate} of {runs(cell.n)}"
        for row in group.rows
        for name, cell in row.cells.items()
        if cell.n_degenerate and name in labels
    )
    return f"The same answer to every document, so no measure of skill: {cells}." if cells else ""


def _scores(group: Group, labels: Mapping[str, str]) -> str:
    if not group.scored:
        return "No s_z and s_m: they need two compared rows with a metric in common."
    rows = listed(row.label for row in group.compared)
    metrics = listed(labels[name] for name in group.scored)
    standard = {c.name for c in PAPER_COLUMNS}
    which = "all nine metrics of eq. 11" if set(group.scored) == standard else "these metrics only"
    missing = listed(f"{labels[name]} ({_why_missing(group, name)})" for name in group.not_scored)
    return (
        f"s_z and s_m (eq. 11) are relative to the rows compared here: {rows}; "
        f"over {which}: {metrics}." + (f" Left out: {missing}." if missing else "")
    )


def _why_missing(group: Group, name: str) -> str:
    without = [row.label for row in group.compared if name not in row.cells]
    if len(without) == len(group.compared):
        return "not measured"
    return f"not measured for {listed(without)}" if without else "not finite"


def _references(group: Group) -> str:
    rows = [row.label for row in group.rows if row.role in ("before", "retrained", "null")]
    scores = "" if group.benchmark else " and not in s_z and s_m"
    return f"For reference, not ranked{scores}: {listed(rows)}." if rows else ""


def _capped(group: Group) -> str:
    if group.cap is None:
        return "No cap on perplexity in s_z and s_m."
    # That a metric is capped is the metric's own matter; the note gives the number.
    return (
        f"A mean perplexity above {group.cap:g} is printed >{group.cap:g} and counts as "
        f"{group.cap:g} in s_z and s_m."
    )


def _means(group: Group) -> str:
    most = max(group.rows, key=lambda row: len(row.runs), default=None)
    if most is None or not most.runs:
        return ""
    n_rows = span(group.n_forget_rows)
    start = f"{runs(len(most.runs)).capitalize()} ({described(most)}), {n_rows} rows per forget set"
    if len(most.runs) == 1:
        return f"{start}: no spread can be given."
    return f"{start}; values are means over runs, their spread the sample standard deviation."


def _p_values(group: Group, labels: Mapping[str, str]) -> str:
    """What a p-value over several runs is."""
    several = {name for row in group.rows for name, cell in row.cells.items() if cell.n > 1}
    of = listed(label for name, label in labels.items() if name in several)
    what = "Over several runs the median of their p-values, no test of them all"
    return f"{what}: {of}." if of else ""


def _stop_line(group: Group) -> str:
    if not group.stops:
        return ""
    lines = _by_stops(group)
    if group.stops[0].source == "paper":
        whose = "" if len(lines) == 1 else ", with each method's own rule and threshold"
        return f"Stop line: {listed(lines, '; ')} (Jang et al.{whose})."
    unseen = span(s.n_unseen for s in group.stops)
    is_by_row = group.stops[0].source == "rows"
    by_row = "; no single row may be known better than these" if is_by_row else ""
    return (
        f"Stop line: {listed(lines, '; ')} (calibrated: the one-sided 95% upper confidence bounds "
        f"of the mean EL, Wilson's, and MA, the normal one, of {unseen} rows this model never "
        f"saw{by_row})."
    )


def _by_stops(group: Group) -> list[str]:
    """The stop lines in words: the one most methods share, then the others with their rows."""
    labels: dict[str, list[str]] = {}
    for row in group.rows:
        if row.role == "method" and row.stops:
            labels.setdefault(_lines(row.stops), []).append(row.label)
    if not labels:  # reference rows only
        return [_lines(group.stops)]
    (first, _), *others = sorted(labels.items(), key=lambda item: -len(item[1]))
    return [first, *(f"{lines} for {listed(of)}" for lines, of in others)]


def _lines(stops: Sequence[StopRecord]) -> str:
    return listed((f"EL10 < {s.el:.4f} {s.rule} MA < {s.ma:.4f}" for s in stops), "; ")


def _protocol(group: Group) -> str:
    if group.protocol_name in ("", IMPORTED):
        return ""
    settings = single_settings(group.protocol_name, group.protocol)
    exceptions = f", except {settings}" if settings else ""
    return f"Protocol: {group.protocol_name}{exceptions}; {group.dtype}."


def _by_setting(group: Group, name: str, title: str) -> str:
    """The values row by row; where they came from is said once for all that share it."""
    labels: dict[str, dict[str, list[str]]] = {}  # origin -> value -> rows
    for row in group.rows:
        if row.role == "method" and name in row.settings:
            of_origin = labels.setdefault(row.origins.get(name, "").rstrip("."), {})
            of_origin.setdefault(_with_weights(row, name), []).append(row.label)
    sentences = []
    for origin, by_value in labels.items():
        if len(labels) == len(by_value) == 1:  # one value for all rows
            values = next(iter(by_value))
        else:
            values = listed((f"{v} for {listed(rows)}" for v, rows in by_value.items()), "; ")
        sentences.append(f"{title} ({origin}): {values}." if origin else f"{title}: {values}.")
    return " ".join(sentences)


def _with_weights(row: Row, name: str) -> str:
    """A setting's value, with those that were tuned together with it."""
    origin = row.origins.get(name, "")
    tuned = row.origins if origin.startswith("tuned") else {}
    beside = (n for n, other in tuned.items() if n != name and other == origin)
    weights = listed(f"{n} {format_value(row.settings[n])}" for n in beside)
    return format_value(row.settings[name]) + (f" ({weights})" if weights else "")


def _schedules(group: Group) -> str:
    """What of a run's training and end is not the plain way, for the rows that share it."""
    labels: dict[str, list[str]] = {}
    for row in group.rows:
        words = (f"{n.replace('_', ' ')} {format_value(v)}" for n, v in row.schedule.items())
        if row.schedule:
            labels.setdefault(", ".join(words), []).append(row.label)
    return " ".join(f"Schedule of {listed(rows)}: {words}." for words, rows in labels.items())


def _superseded(group: Group) -> str:
    total = sum(row.n_superseded for row in group.rows)
    return f"Older results of the same cells, left out: {total}." if total else ""


def described(row: Row) -> str:
    """The runs that a row's means are over."""
    sets = sorted({run.forget_set for run in row.runs})
    seeds = sorted({run.seed for run in row.runs})
    return listed(
        f"{name}{'s' if len(values) > 1 else ''} {listed(values)}"
        for name, values in (("forget set", sets), ("seed", list(map(str, seeds))))
    )


def runs(n: int) -> str:
    """'1 run', '5 runs'."""
    return f"{n} run" if n == 1 else f"{n} runs"


def span(values: Iterable[int] | Iterable[str]) -> str:
    """'128', or '100 to 128' where they differ."""
    ordered: list[Any] = sorted(set(values))
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def listed(items: Iterable[str], separator: str = ", ") -> str:
    """The items in one line."""
    return separator.join(items)
