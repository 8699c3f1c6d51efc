"""What a table must say besides its numbers: what the scores are over, and how it was run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from unlearnbench.analysis import footnotes
from unlearnbench.analysis.columns import EPOCHS, PAPER_COLUMNS, Column
from unlearnbench.analysis.conditions import differing_protocol_settings, format_value
from unlearnbench.analysis.footnotes import described, listed, runs, span
from unlearnbench.analysis.table import LEFT_OUT, NOT_FORGOTTEN, PARTIAL, UNEQUAL, Group, Note
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


def _synthetic(group: Group) -> str:
    return "A synthetic test bench, not a claim about real models." if group.is_synthetic else ""


def _sentences(
    labels: Mapping[str, str], every: Mapping[str, str]
) -> tuple[tuple[str, str, Sentence], ...]:
    return (
        ("synthetic", "", _synthetic),
        ("not_forgotten", NOT_FORGOTTEN, footnotes.not_forgotten),
        ("left_out", LEFT_OUT, footnotes.left_out),
        ("unequal", UNEQUAL, footnotes.unequal),
        ("partial", PARTIAL, partial(footnotes.partly_measured, labels=labels)),
        ("documents", "", partial(_documents, labels=labels)),
        ("degenerate", "", partial(footnotes.degenerate, labels=every)),
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
