"""The notes of the beside-published section."""

from collections.abc import Iterator, Sequence

from unlearnbench.analysis.columns import S_Z
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import Note
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.published.differences import sentences
from unlearnbench.reporting.published.matching import Beside
from unlearnbench.reporting.sections._beside_cells import INSIDE, Comparison

_INSIDE = (
    "The printed value is inside this run's 95% interval over documents, or within two standard "
    "deviations over its runs; no test, since the printed value's own spread is not known."
)


def of_listing(beside: Beside, comparison: Comparison, findings: Findings) -> tuple[Note, ...]:
    """What a listing needs to be read: its signs, and what its scores are over."""
    notes = []
    inside = (comparison.is_inside(line, c) for line in beside.matched for c in comparison.columns)
    if any(inside):
        notes.append(Note("inside", _INSIDE, INSIDE))
    if any(text.startswith(">") for line in beside.lines for text in comparison.printed(line)):
        notes.append(Note("cap", "No difference where a value is only known to be over the cap."))
    if S_Z in comparison.columns:
        notes.append(Note("scores", _scores(comparison, findings)))
    borrowed = [c.label for c in comparison.columns if c.name in beside.table.borrowed]
    if borrowed:
        other = {"v1": 2, "v2": 1}[beside.table.source]
        text = f"{listed(borrowed)}: printed in version {other} of the paper only."
        notes.append(Note("borrowed", text))
    return tuple(notes)


def of_all(found: Sequence[Beside], findings: Findings) -> tuple[Note, ...]:
    """What explains the differences; what holds for all groups is said once."""
    notes = list(_row_marks(found, findings))
    by_text: dict[tuple[str, str], list[str]] = {}
    for beside in found:
        for kind, text in sentences(beside, findings):
            if text:
                by_text.setdefault((kind, text), []).append(beside.group.title)
    for (kind, text), titles in by_text.items():
        of = "" if len(titles) == len(found) else f"{listed(titles)}: "
        notes.append(Note(kind, of + text))
    return (*notes, *_left_out(found, findings))


def _row_marks(found: Sequence[Beside], findings: Findings) -> Iterator[Note]:
    """The table's own notes on the marks that the labels carry: † and its like."""
    rows = [line.own for beside in found for line in beside.lines if line.own]
    shown = {marker for row in rows for marker in row.markers}
    yield from (note for note in findings.table.notes if note.marker in shown and note.marker)


def _left_out(found: Sequence[Beside], findings: Findings) -> Iterator[Note]:
    unprinted = [label for beside in found for label in beside.unprinted]
    if unprinted:
        yield Note("unprinted", f"Measured here and not printed: {listed(unprinted)}.")
    titles = {beside.group.title for beside in found}
    others = [group.title for group in findings.table.groups if group.title not in titles]
    if others:
        yield Note("left_out", f"Nothing is printed to lay beside {listed(others)}.")


def _scores(comparison: Comparison, findings: Findings) -> str:
    if comparison.has_same_scores:
        return "s_z and s_m are relative to the rows compared, the same here and there."
    start = (
        "s_z and s_m are relative to the rows compared and the metrics measured, which are not "
        "the same here and there: no difference is taken."
    )
    shared = comparison.shared
    if shared is None:
        return start
    labels = {column.name: column.label for column in findings.table.metric_columns}
    rows, metrics = listed(shared.labels), listed(labels[name] for name in shared.metrics)
    return f"{start} Shared: computed anew on both sides, over {rows} and {metrics}."
