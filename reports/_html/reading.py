"""What every row of a table finally wrote: one forget set after another."""

from collections.abc import Mapping, Sequence
from typing import Any

from unlearnbench.analysis.columns import Column
from unlearnbench.analysis.table import Group
from unlearnbench.reporting.continuations import ROW_FIELDS, Texts, best_known, final, texts_of
from unlearnbench.reporting.findings import MANY, Findings
from unlearnbench.results.record import Result

from .texts import Pool

LABELS = {
    "el10": "EL10 (%)",
    "ma": "MA (%)",
    "bertscore_f1": "BERT (F1)",
    "bleu": "BLEU (%)",
    "entropy": "Entropy",
}


def reading(findings: Findings, numbers: Mapping[str, int], texts: Pool) -> dict[str, Any]:
    """Every forget set of every group: its rows, and what each run's model finally wrote.

    `numbers` are the table's rows by result key.  Texts are numbers in the pool.  Of more
    results than one reads texts of there are none.
    """
    few = len(findings.results) <= MANY
    sets = [
        found
        for group in findings.table.groups
        if few
        for results in _by_forget_set(group, findings).values()
        if (found := _forget_set(group, results, findings, numbers, texts))["documents"]
    ]
    return {"fields": [LABELS[name] for name in ROW_FIELDS], "sets": sets}


def _by_forget_set(group: Group, findings: Findings) -> dict[str, list[Result]]:
    """The results in the group's means by what was forgotten, in the order of the runs' names."""
    runs = [run for row in group.rows for run in row.runs if run.key in findings.by_key]
    found: dict[str, list[Result]] = {}
    for run in sorted(runs, key=lambda run: run.forget_set):
        found.setdefault(run.content_sha256, []).append(findings.by_key[run.key])
    return found


def _forget_set(
    group: Group,
    results: Sequence[Result],
    findings: Findings,
    numbers: Mapping[str, int],
    texts: Pool,
) -> dict[str, Any]:
    documents = _documents(results)
    in_order = sorted(results, key=lambda result: (numbers[result.key], result.seed))
    columns = {column.name: column for column in _columns(findings)}
    return {
        "group": group.title,
        "name": results[0].forget_set.name,
        "documents": [
            [doc_id, *(texts.number(part) for part in vars(known).values())]
            for doc_id, known in documents.items()
        ],
        "start": _start(in_order, list(documents), findings.doc_ids),
        "writers": [
            _writer(result, numbers[result.key], documents, columns, texts) for result in in_order
        ],
    }


def _documents(results: Sequence[Result]) -> dict[str, Texts]:
    found: dict[str, Texts] = {}
    for result in results:
        for doc_id in result.forget_set.doc_ids:
            known = texts_of(result, doc_id)
            if doc_id not in found and known is not None and final(result, doc_id) is not None:
                found[doc_id] = known
    return found


def _start(results: Sequence[Result], doc_ids: Sequence[str], asked: Sequence[str]) -> int:
    """The row shown first: one that was asked for, else what the model knew best before."""
    wanted = next((doc_id for doc_id in asked if doc_id in doc_ids), None)
    best = wanted or (best_known(results[0], doc_ids) if doc_ids else None)
    return doc_ids.index(best) if best in doc_ids else 0


def _writer(
    result: Result,
    number: int,
    documents: Mapping[str, Texts],
    columns: Mapping[str, Column],
    texts: Pool,
) -> dict[str, Any]:
    trace = result.in_full().trace
    last = trace.epochs[-1].rows if trace and trace.epochs else []
    forgotten = {row.doc_id: row.forgotten for row in last}
    written: list[list[Any] | None] = []
    for doc_id, shown in documents.items():
        found, own = final(result, doc_id), texts_of(result, doc_id)
        if found is None or own is None:
            written.append(None)
            continue
        facts = [_printed(name, found.values.get(name), columns) for name in ROW_FIELDS]
        # Another tokenizer cuts the passage elsewhere: then this text follows another prefix.
        given = None if own == shown else [texts.number(part) for part in vars(own).values()]
        written.append([texts.number(found.text), forgotten.get(doc_id), given, *facts])
    return {"row": number, "key": result.key, "role": result.role, "seed": result.seed,
            "written": written}  # fmt: skip


def _columns(findings: Findings) -> tuple[Column, ...]:
    return (*findings.table.columns, *findings.table.other_columns)


def _printed(name: str, value: float | None, columns: Mapping[str, Column]) -> str:
    column = columns.get(name)
    if column is None or value is None:
        return "–"
    return column.text(value * column.scale)
