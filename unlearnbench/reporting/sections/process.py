"""How forgetting goes: one row's continuation at chosen epochs, and every epoch's metrics."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from unlearnbench.analysis.table import Column, Group, Note, Row
from unlearnbench.reporting import printing
from unlearnbench.reporting.continuations import (
    Continuation,
    Example,
    evenly_spaced,
    example_run,
    examples_of,
    over_epochs,
    texts_of,
)
from unlearnbench.reporting.document import Block, Case, Findings, Listing, Passage
from unlearnbench.reporting.sections.cases import QUOTED
from unlearnbench.reporting.sections.runs import has_failed, rows_with_runs
from unlearnbench.results.record import ROW_FIELDS, EpochRecord, Result

_MOST = 6  # continuations of a case
_EPOCHS_RULE = (
    f"Epochs shown: before unlearning, the last, and as evenly spaced as can be, {_MOST} at most."
)
_FACTS = ("bertscore_f1", "bleu", "ma", "el10")

Columns = Mapping[str, Column]


def blocks(findings: Findings) -> Iterable[Block]:
    """Of the first model with a trace, for each method: its cases, and a listing of all epochs."""
    made = (tuple(_of_group(findings, *of_group)) for of_group in rows_with_runs(findings))
    return next(filter(None, made), ())


def _of_group(
    findings: Findings, group: Group, rows: Sequence[tuple[Row, Sequence[Result]]]
) -> Iterator[Block]:
    columns, examples = printing.row_columns(findings.table), examples_of(findings, group)
    for row, results in rows:
        # A failed run is looked at only where there is no other: it shows how it went wrong.
        traced = [r for r in results if r.trace is not None and r.trace.epochs]
        traced.sort(key=has_failed)
        yield from _cases(row, traced, examples, columns)
        yield from _listings(row, traced, examples, columns)


def _cases(
    row: Row, traced: Sequence[Result], examples: Sequence[Example], columns: Columns
) -> Iterator[Case]:
    for one in examples:
        result = example_run(traced, one)
        texts = texts_of(result, one.doc_id) if result else None
        epochs = over_epochs(result, one.doc_id) if result else ()
        if result and texts and epochs:
            yield Case(
                printing.anchor("process", row.label, one.run, one.doc_id),
                f"{row.label}: row {one.doc_id} of forget set {one.run} over the epochs",
                texts.prefix,
                texts.reference,
                tuple(_passage(c, epochs[-1], columns) for c in evenly_spaced(epochs, _MOST)),
                printing.notes(
                    ("rule", one.rule),
                    ("quoted", QUOTED),
                    ("epochs", _EPOCHS_RULE),
                    ("end", _end(result)),
                ),
            )


def _passage(one: Continuation, last: Continuation, columns: Columns) -> Passage:
    facts = printing.facts({name: columns[name] for name in _FACTS}, one.values)
    if not one.epoch:
        return Passage("before unlearning", one.text, facts)
    end = " (last)" if one is last else ""
    trained = ("trained on", "yes" if one.active else "no")
    return Passage(f"epoch {one.epoch}{end}", one.text, (*facts, trained))


def _listings(
    row: Row, traced: Sequence[Result], examples: Sequence[Example], columns: Columns
) -> Iterator[Listing]:
    of_cases = (example_run(traced, one) for one in examples)
    # The run that the cases are of, or the first there is.
    for result in [*filter(None, of_cases), *traced][:1]:
        trace = result.in_full().trace
        epochs = trace.epochs if trace is not None else []
        terms = list(dict.fromkeys(term for epoch in epochs for term in epoch.losses))
        losses = (f"loss: {term}" for term in terms)
        lines = []
        for epoch in epochs:
            means = (printing.stored(columns[name], epoch.metrics.get(ROW_FIELDS[name]))
                     for name in columns)  # fmt: skip
            own = (printing.loss(epoch.losses.get(term)) for term in terms)
            lines.append((str(epoch.epoch), *means, str(epoch.n_active), *own))
        yield Listing(
            printing.anchor("epochs", row.label),
            f"{row.label}: every epoch on forget set {result.forget_set.run}",
            ("Epoch", *map(printing.header, columns.values()), "Rows", *losses),
            tuple(lines),
            notes=_notes(result, epochs, columns),
        )


def _notes(result: Result, epochs: Sequence[EpochRecord], columns: Columns) -> tuple[Note, ...]:
    unmeasured = any(math.isnan(e.metrics.get("el", 0.0)) for e in epochs)
    el10, ma = printing.name(columns["el10"]), printing.name(columns["ma"])
    when = f"{el10} is measured only where {ma} is under its line."
    return printing.notes(
        ("run", f"Means over the {len(epochs[0].rows)} rows; seed {result.seed}, {result.group}."),
        ("rows", "Rows: how many were trained on in the epoch. Losses: means over its batches."),
        ("unmeasured", when if unmeasured else ""),
        ("stop_line", _stop_line(result, columns)),
        ("end", _end(result)),
    )


def _stop_line(result: Result, columns: Columns) -> str:
    stop = result.stop
    if math.isnan(stop.el + stop.ma):  # it failed before its line was known
        return ""
    el = printing.threshold(columns["el10"], stop.el)
    return f"Stop line: {el} {stop.rule} {printing.threshold(columns['ma'], stop.ma)}."


def _end(result: Result) -> str:
    trace = result.trace
    if trace is None:
        return ""
    # The values that an epoch limit's reason has in brackets stand in the last epoch's line.
    limit = trace.outcome == "not_forgotten"
    reason = trace.reason.partition(" (")[0] if limit else trace.reason
    why = f" ({reason.rstrip('.')})" if reason else ""
    return f"Outcome: {trace.outcome.replace('_', ' ')}{why}."
