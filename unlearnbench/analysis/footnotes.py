"""Footnotes: which rows of a table carry a marker, and what it says of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from unlearnbench.analysis.columns import EPOCHS, PAPER_COLUMNS, SCORE_NAMES, Column
from unlearnbench.analysis.conditions import differing_protocol_settings, format_value
from unlearnbench.analysis.table import LEFT_OUT, NOT_FORGOTTEN, PARTIAL, UNEQUAL, Group, Note, Row
from unlearnbench.results.record import StopRecord

Sentence = Callable[[Group], str]


def notes_of(
    groups: Sequence[Group], columns: Sequence[Column], other: Sequence[Column]
) -> tuple[Note, ...]:
    """Every note of the table; what holds for all groups is said once, the rest names its group."""
    labels = {c.name: c.label for c in (*columns, EPOCHS)}
    every = {**labels, **{c.name: c.label for c in other}}
    notes: list[Note] = []
    for kind, marker, sentence in _sentences(labels, every):
        texts = _merged({group.title: sentence(group) for group in groups})
        notes += [Note(kind, text, marker) for text in texts]
    if other:
        names = listed(c.label for c in other)
        notes.append(Note("other", f"Also measured, in this table's CSV and JSON forms: {names}."))
    return tuple(notes)


def _merged(texts: dict[str, str]) -> Iterator[str]:
    titles: dict[str, list[str]] = {}
    for title, text in texts.items():
        titles.setdefault(text, []).append(title)
    for text, of in titles.items():
        if text:
            yield text if len(of) == len(texts) else f"{listed(of)}: {text}"


def _documents(group: Group, labels: Mapping[str, str]) -> str:
    told = []
    for name, label in labels.items():
        counts = {n for row in group.rows if name in row.cells for n in row.cells[name].n_documents}
        if len(counts) > 1:
            told.append(f"{label} ({listed(map(str, sorted(counts)))})")
    return f"Measured on different numbers of documents: {listed(told)}." if told else ""


def _capped(group: Group) -> str:
    if group.cap is None:
        return "No cap on perplexity in s_z and s_m."
    # That a metric is capped is the metric's own matter; here only the number is told.
    return (
        f"A mean perplexity above {group.cap:g} is printed >{group.cap:g} and counts as "
        f"{group.cap:g} in s_z and s_m."
    )


def _scores(group: Group, labels: Mapping[str, str]) -> str:
    if not group.scored:
        return "No s_z and s_m: they need two compared rows with a metric in common."
    rows = listed(row.label for row in group.compared)
    metrics = listed(labels[name] for name in group.scored)
    standard = {c.name for c in PAPER_COLUMNS}
    which = "all nine metrics of eq. 11" if set(group.scored) == standard else "these metrics only"
    return (
        f"s_z and s_m (eq. 11) are relative to the rows compared here: {rows}; "
        f"over {which}: {metrics}.{_missing(group, labels)}"
    )


def _missing(group: Group, labels: Mapping[str, str]) -> str:
    told = []
    for name in group.not_scored:
        without = [row.label for row in group.compared if name not in row.cells]
        if len(without) == len(group.compared):
            told.append(f"{labels[name]} (not measured)")
        elif without:
            told.append(f"{labels[name]} (not measured for {listed(without)})")
        else:
            told.append(f"{labels[name]} (not finite)")
    return f" Left out: {listed(told)}." if told else ""


def _references(group: Group) -> str:
    rows = [row.label for row in group.rows if row.role in ("before", "retrained")]
    return f"For reference, not ranked and not in s_z and s_m: {listed(rows)}." if rows else ""


def _stop_line(group: Group) -> str:
    if not group.stops:
        return ""
    lines = _by_stops(group)
    if group.stops[0].source == "paper":
        whose = "" if len(lines) == 1 else ", with each method's own rule and threshold"
        return f"Stop line: {listed(lines, '; ')} (Jang et al.{whose})."
    unseen = span(s.n_unseen for s in group.stops)
    return (
        f"Stop line: {listed(lines, '; ')} (calibrated: the one-sided 95% upper confidence bounds "
        f"of the mean EL, Wilson's, and MA, the normal one, of {unseen} rows this model never saw)."
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
    if not group.protocol_name:
        return ""
    single = differing_protocol_settings(group.protocol_name, dict(group.protocol))
    told = ", ".join(f"{k}={format_value(v)}" for k, v in sorted(single.items()))
    return f"Protocol: {group.protocol_name}{f', except {told}' if told else ''}; {group.dtype}."


def _means(group: Group) -> str:
    rows = [row for row in group.rows if row.runs]
    if not rows:
        return ""
    most = max(rows, key=lambda row: len(row.runs))
    n_rows = span(group.n_forget_rows)
    start = f"{runs(len(most.runs)).capitalize()} ({described(most)}), {n_rows} rows per forget set"
    if len(most.runs) == 1:
        return f"{start}: no spread can be given."
    return f"{start}; values are means over runs, their spread the sample standard deviation."


def _by_setting(group: Group, name: str, title: str) -> str:
    """The values row by row; where they came from is said once for all that share it."""
    rows = [row for row in group.rows if row.role == "method" and name in row.settings]
    labels: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        of_origin = labels.setdefault(row.origins.get(name, "").rstrip("."), {})
        of_origin.setdefault(format_value(row.settings[name]), []).append(row.label)
    return " ".join(
        f"{title}{_told(origin)}: {_values(of, len(labels) == 1)}." for origin, of in labels.items()
    )


def _values(labels: dict[str, list[str]], are_all: bool) -> str:
    if are_all and len(labels) == 1:
        return next(iter(labels))
    return listed((f"{value} for {listed(of)}" for value, of in labels.items()), "; ")


def _told(origin: str) -> str:
    return f" ({origin})" if origin else ""


def _superseded(group: Group) -> str:
    total = sum(row.n_superseded for row in group.rows)
    return f"Older results of the same cells, left out: {total}." if total else ""


def _nano(group: Group) -> str:
    if not group.name.startswith("nano-"):
        return ""
    return "A synthetic test bench, not a claim about real models."


def _sentences(
    labels: Mapping[str, str], every: Mapping[str, str]
) -> tuple[tuple[str, str, Sentence], ...]:
    return (
        ("nano", "", _nano),
        ("not_forgotten", NOT_FORGOTTEN, not_forgotten),
        ("left_out", LEFT_OUT, left_out),
        ("unequal", UNEQUAL, unequal),
        ("partial", PARTIAL, partial(partly_measured, labels=labels)),
        ("documents", "", partial(_documents, labels=labels)),
        ("degenerate", "", partial(degenerate, labels=every)),
        ("scores", "", partial(_scores, labels=labels)),
        ("references", "", _references),
        ("cap", "", _capped),
        ("means", "", _means),
        ("stop_line", "", _stop_line),
        ("protocol", "", _protocol),
        ("epoch_limit", "", partial(_by_setting, name="max_epochs", title="Epoch limit")),
        ("learning_rate", "", partial(_by_setting, name="learning_rate", title="Learning rates")),
        ("superseded", "", _superseded),
    )


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
