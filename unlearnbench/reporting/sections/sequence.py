"""Requests one after the other: what is forgotten of all rows so far, utility and cost by step."""

from collections.abc import Iterator, Sequence

from unlearnbench.analysis.sequences import (
    AT_ONCE,
    IN_TURN,
    Step,
    by_request,
    sequences_of,
    tokens_so_far,
)
from unlearnbench.analysis.table import ABSENT, Column
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Block, Findings, Listing

_STEPS = (
    f"{IN_TURN.capitalize()}: each request is unlearned from the model that has forgotten those "
    f"before it; {AT_ONCE}: all rows so far from the original model. Both are measured on all rows "
    "requested so far. Tokens unlearning: of all requests so far."
)
_BY_REQUEST = "Means of each request's own rows after the last request of the line."


def blocks(findings: Findings) -> Iterator[Block]:
    """Per model a listing of the steps, and per metric of forgetting one of each request's rows."""
    for name, steps in sequences_of(findings.table, findings.by_key).items():
        columns = [
            column
            for column in findings.table.metric_columns
            if any(step.row.mean(column.name) is not None for step in steps)
        ]
        yield _by_step(name, steps, columns, findings)
        for column in columns:
            if column.documents == "rows" and column.judges_forgetting:
                yield from _by_request(name, steps, column)


def _by_step(
    name: str, steps: Sequence[Step], columns: Sequence[Column], findings: Findings
) -> Listing:
    headers = ("Row", "Requests", "How", *map(printing.header, columns), "Epochs",
               "Tokens unlearning")  # fmt: skip
    rows = tuple(
        (
            step.row.label,
            ", ".join(step.requests),
            step.how,
            *(step.group.text(step.row, column) for column in columns),
            _epochs(step),
            printing.count(tokens_so_far(step, findings.by_key)),
        )
        for step in steps
    )
    anchor = printing.anchor("sequence", name)
    return Listing(anchor, f"Requests step by step: {name}", headers, rows, 3,
                   printing.notes(("steps", _STEPS)))  # fmt: skip


def _epochs(step: Step) -> str:
    mean = step.row.mean("epochs")
    return ABSENT if mean is None else f"{mean:.1f}"


def _by_request(name: str, steps: Sequence[Step], column: Column) -> Iterator[Listing]:
    requests = max((step.requests for step in steps), key=len)
    rows = []
    for step in steps:
        means = by_request(step, column)
        if means:
            cells = (column.text(means.get(request), step.group.cap) for request in requests)
            rows.append((step.row.label, ", ".join(step.requests), step.how, *cells))
    if rows:
        title = f"{printing.header(column)} of each request's rows: {name}"
        anchor = printing.anchor("sequence", "by-request", name, column.name)
        headers = ("Row", "Requests", "How", *(f"request {request}" for request in requests))
        yield Listing(anchor, title, headers, tuple(rows), 3,
                      printing.notes(("by_request", _BY_REQUEST)))  # fmt: skip
