"""What every row of a table wrote, finally and epoch by epoch: one forget set after another."""

from collections.abc import Mapping, Sequence
from typing import Any

from unlearnbench.analysis.table import Column, Group
from unlearnbench.reporting.continuations import Texts, best_known, final, texts_of
from unlearnbench.reporting.document import MANY, Findings
from unlearnbench.reporting.printing import row_columns, stored
from unlearnbench.results.record import ROW_FIELDS, EpochRecord, Result, RowRecord, UnlearnTrace

from .texts import Pool, embedded_json

PAGE_LIMIT = 8_000_000  # bytes: above it a browser takes its time to open a page


def reading(findings: Findings, numbers: Mapping[str, int], texts: Pool) -> dict[str, Any]:
    """Every forget set of every group: its rows, and what each run's model finally wrote.

    `numbers` are the table's rows by result key.  Texts are numbers in the pool.  Of more
    results than one reads texts of there are none.
    """
    few = len(findings.results) <= MANY
    sets = [
        one_set
        for group in findings.table.groups
        if few
        for results in _by_forget_set(group, findings).values()
        if (one_set := _forget_set(group, results, findings, numbers, texts))["documents"]
    ]
    fields = [column.label for column in row_columns(findings.table).values()]
    return {"fields": fields, "sets": sets}


def _by_forget_set(group: Group, findings: Findings) -> dict[str, list[Result]]:
    """The results in the group's means by what was forgotten, in the order of the runs' names."""
    runs = [run for row in group.rows for run in row.runs if run.key in findings.by_key]
    by_set: dict[str, list[Result]] = {}
    for run in sorted(runs, key=lambda run: run.forget_set):
        by_set.setdefault(run.content_sha256, []).append(findings.by_key[run.key])
    return by_set


def _forget_set(
    group: Group,
    results: Sequence[Result],
    findings: Findings,
    numbers: Mapping[str, int],
    texts: Pool,
) -> dict[str, Any]:
    documents = _documents(results)
    in_order = sorted(results, key=lambda result: (numbers[result.key], result.seed))
    columns = row_columns(findings.table)
    return {
        "group": group.title,
        "name": results[0].forget_set.name,
        "documents": [
            [doc_id, *(texts.number(part) for part in vars(document).values())]
            for doc_id, document in documents.items()
        ],
        "start": _start(in_order, list(documents), findings.doc_ids),
        "writers": [
            _writer(result, numbers[result.key], documents, columns, texts) for result in in_order
        ],
    }


def _documents(results: Sequence[Result]) -> dict[str, Texts]:
    by_doc_id: dict[str, Texts] = {}
    for result in results:
        for doc_id in result.forget_set.doc_ids:
            document = texts_of(result, doc_id)
            if document and doc_id not in by_doc_id and final(result, doc_id) is not None:
                by_doc_id[doc_id] = document
    return by_doc_id


def _start(results: Sequence[Result], doc_ids: Sequence[str], requested: Sequence[str]) -> int:
    """The row shown first: one that was asked for, else what the model knew best before."""
    wanted = next((doc_id for doc_id in requested if doc_id in doc_ids), None)
    best = wanted or best_known(results[0], doc_ids)
    return doc_ids.index(best) if best in doc_ids else 0


def _writer(
    result: Result,
    number: int,
    documents: Mapping[str, Texts],
    columns: Mapping[str, Column],
    texts: Pool,
) -> dict[str, Any]:
    last = _epochs(result.in_full().trace)[-1:]
    forgotten = {row.doc_id: row.forgotten for epoch in last for row in epoch.rows}
    written: list[list[Any] | None] = []
    for doc_id, reference in documents.items():
        continuation, own = final(result, doc_id), texts_of(result, doc_id)
        if continuation is None or own is None:
            written.append(None)
            continue
        facts = [stored(c, continuation.values.get(name)) for name, c in columns.items()]
        # Another tokenizer cuts the passage elsewhere: then this text follows another prefix.
        other = None if own == reference else [texts.number(part) for part in vars(own).values()]
        written.append([texts.number(continuation.text), forgotten.get(doc_id), other, *facts])
    return {"row": number, "key": result.key, "role": result.role, "seed": result.seed,
            "written": written}  # fmt: skip


def with_traces(
    reading: dict[str, Any], by_key: Mapping[str, Result], texts: Pool, room: int
) -> dict[str, Any]:
    """The reading with each epoch's texts: of all rows, or of evenly chosen ones in little room."""
    written = [(one_set, w["key"]) for one_set in reading["sets"] for w in one_set["writers"]]
    traces = {key: by_key[key].in_full().trace for _, key in written}
    total = 0  # bytes, about; one text twice counts twice
    for one_set, key in written:
        doc_ids = {document[0] for document in one_set["documents"]}
        rows = (row for epoch in _epochs(traces[key]) for row in epoch.rows)
        sizes = (len(embedded_json(r.continuation).encode()) for r in rows if r.doc_id in doc_ids)
        total += sum(size + 50 for size in sizes)
    share = min(1.0, max(room, 0) / total) if total else 1.0
    sets = []
    for one_set in reading["sets"]:
        chosen = evenly_chosen(len(one_set["documents"]), share, one_set["start"])
        kept = [one_set["documents"][place][0] for place in chosen]
        writers = [
            {**writer, "trace": _trace(trace, kept, texts)}
            if (trace := traces[writer["key"]]) is not None
            else writer
            for writer in one_set["writers"]
        ]
        sets.append({**one_set, "with_epochs": chosen, "writers": writers})
    return {**reading, "sets": sets, "all_epochs": share == 1.0}


def evenly_chosen(n: int, share: float, always: int = 0) -> list[int]:
    """Which of n places to keep, so that they lie evenly; one of them always."""
    if share >= 1.0:
        return list(range(n))
    others = int(n * share) - 1
    return sorted({always, *(i * n // others for i in range(others))}) if others >= 0 else []


def _epochs(trace: UnlearnTrace | None) -> list[EpochRecord]:
    return trace.epochs if trace is not None else []


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
