"""Every epoch of the rows that every model wrote, as far as the page has room for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from unlearnbench.reporting.continuations import ROW_FIELDS
from unlearnbench.results.record import Result
from unlearnbench.results.trace import EpochRecord, RowRecord, UnlearnTrace

from .texts import Pool, embedded_json

PAGE_LIMIT = 8_000_000  # bytes: above it a browser takes its time to open a page


def with_traces(
    reading: dict[str, Any], by_key: Mapping[str, Result], texts: Pool, room: int
) -> dict[str, Any]:
    """The reading with each epoch's texts: of all rows, or of evenly chosen ones in little room."""
    total = sum(
        _size(by_key[writer["key"]], found["documents"])
        for found in reading["sets"]
        for writer in found["writers"]
    )
    share = min(1.0, max(room, 0) / total) if total else 1.0
    sets = [_with_epochs(found, by_key, texts, share) for found in reading["sets"]]
    return {**reading, "sets": sets, "all_epochs": share == 1.0}


def evenly_chosen(n: int, share: float, always: int = 0) -> list[int]:
    """Which of n places to keep, so that they lie evenly; one of them always."""
    if share >= 1.0:
        return list(range(n))
    others = int(n * share) - 1
    return sorted({always, *(i * n // others for i in range(others))}) if others >= 0 else []


def _size(result: Result, documents: Sequence[Any]) -> int:
    """About how many bytes the epochs' texts of those rows take; one text twice counts twice."""
    known = {document[0] for document in documents}
    rows = [row for epoch in _epochs(result) for row in epoch.rows if row.doc_id in known]
    return sum(len(embedded_json(row.continuation).encode()) + 50 for row in rows)


def _epochs(result: Result) -> list[EpochRecord]:
    trace = result.in_full().trace
    return trace.epochs if trace is not None else []


def _with_epochs(
    found: dict[str, Any], by_key: Mapping[str, Result], texts: Pool, share: float
) -> dict[str, Any]:
    chosen = evenly_chosen(len(found["documents"]), share, found["start"])
    kept = [found["documents"][place][0] for place in chosen]
    writers = [
        {**writer, "trace": _trace(trace, kept, texts)}
        if (trace := by_key[writer["key"]].in_full().trace) is not None
        else writer
        for writer in found["writers"]
    ]
    return {**found, "with_epochs": chosen, "writers": writers}


def _trace(trace: UnlearnTrace, doc_ids: Sequence[str], texts: Pool) -> dict[str, Any]:
    rows = [{row.doc_id: row for row in epoch.rows} for epoch in trace.epochs]
    return {
        "means": [
            [epoch.epoch, epoch.n_active, *(_rounded(epoch.metrics.get(field))
             for field in ROW_FIELDS.values())]
            for epoch in trace.epochs
        ],
        "rows": [[_epoch_row(of.get(doc_id), texts) for of in rows] for doc_id in doc_ids],
    }  # fmt: skip


def _epoch_row(row: RowRecord | None, texts: Pool) -> list[Any] | None:
    if row is None:
        return None
    facts = (_rounded(getattr(row, field)) for field in ROW_FIELDS.values())
    return [texts.number(row.continuation), row.forgotten, row.active, *facts]


def _rounded(value: float | None) -> float | None:
    # Four digits are more than the page prints; NaN, not measured, becomes null.
    return None if value is None else float(f"{value:.4g}")
