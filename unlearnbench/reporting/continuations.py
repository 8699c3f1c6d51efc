"""Continuations: what a model wrote after a row's prefix, with that very row's measurements.

And which row a report shows as an example, by a rule that is stated.  Joins go by doc_id.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from unlearnbench.analysis.table import Group
from unlearnbench.errors import UserError
from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import ROW_FIELDS, Result


@dataclass(frozen=True)
class Texts:
    """One row of a forget set: what a model is given, and what really follows."""

    prefix: str
    reference: str

    def agrees_with(self, other: "Texts") -> bool:
        """Whether both are the same passage, be it cut at other places by another tokenizer."""
        words = (" ".join((one.prefix + one.reference).split()) for one in (self, other))
        short, long = sorted(words, key=len)
        return long.startswith(short)


@dataclass(frozen=True)
class Continuation:
    """What was written in the reference's place."""

    text: str
    values: Mapping[str, float]  # by column name, in stored units; what was not measured is absent
    epoch: int | None = None  # None: by the finished model
    active: bool | None = None  # whether the row was trained on in that epoch


def texts_of(result: Result, doc_id: str) -> Texts | None:
    """The row's prefix and reference; None where the result does not hold both."""
    record = result.in_full().forget_set
    if doc_id not in record.prefixes or doc_id not in record.suffixes:
        return None
    return Texts(record.prefixes[doc_id], record.suffixes[doc_id])


def final(result: Result, doc_id: str) -> Continuation | None:
    """The finished model's: as it was measured, or else the last epoch's of its trace."""
    result = result.in_full()
    if doc_id in result.continuations:
        of_rows = [m for m in result.metrics if m.documents == "rows" and m.name in ROW_FIELDS]
        scores = {m.name: result.scores.get(m.task, {}).get(m.name) for m in of_rows}
        values = {name: s.documents.get(doc_id) for name, s in scores.items() if s is not None}
        return Continuation(result.continuations[doc_id], _measured_only(values))
    epochs = over_epochs(result, doc_id)
    return Continuation(epochs[-1].text, epochs[-1].values) if epochs else None


def over_epochs(result: Result, doc_id: str) -> tuple[Continuation, ...]:
    """One per examined epoch of the trace, epoch 0 first; empty without a trace."""
    trace = result.in_full().trace
    written = []
    for epoch in trace.epochs if trace is not None else ():
        for row in (row for row in epoch.rows if row.doc_id == doc_id):
            values = {name: getattr(row, field) for name, field in ROW_FIELDS.items()}
            own = _measured_only(values)
            written.append(Continuation(row.continuation, own, epoch.epoch, row.active))
    return tuple(written)


def at_start(result: Result, doc_id: str) -> Continuation | None:
    """The model's before unlearning: of the row 'before', or epoch 0 of a method's trace."""
    if result.role == "before":
        return final(result, doc_id)
    epochs = over_epochs(result, doc_id)
    return epochs[0] if epochs and epochs[0].epoch == 0 else None


def best_known(result: Result, doc_ids: Iterable[str]) -> str | None:
    """The row that the model before unlearning knows best; None if that is not in the result.

    Highest MA; of equals the one with the highest entropy of its continuation, as
    repetitive text shows little; then the first in the given order.
    """
    starts = {doc_id: at_start(result, doc_id) for doc_id in doc_ids}
    values = {d: start.values for d, start in starts.items() if start and "ma" in start.values}
    if not values:
        return None
    # `max` keeps the first of equals.
    return max(values, key=lambda d: (values[d]["ma"], values[d].get("entropy", -math.inf)))


def evenly_spaced(items: Sequence[Continuation], most: int) -> tuple[Continuation, ...]:
    """The first, the last, and in between as evenly as whole numbers allow, at most so many."""
    last = len(items) - 1
    if last < most:
        return tuple(items)
    chosen = sorted({round(step * last / (most - 1)) for step in range(most)})
    return tuple(items[index] for index in chosen)


def _measured_only(values: Mapping[str, float | None]) -> dict[str, float]:
    return {n: v for n, v in values.items() if v is not None and not math.isnan(v)}


_BEST_KNOWN = (
    "Chosen by a rule, not by hand: of forget set {run}, the row that {group} knows best before "
    "unlearning (highest MA; of equals the one whose continuation has the highest entropy, as "
    "repetitive text shows little; then the first of the set)."
)
_FIRST = (
    "Chosen by a rule, not by hand: the first row of forget set {run}, as no result says how well "
    "{group} knew each row before unlearning."
)
_NAMED = "Row {doc_id} of forget set {run}, as asked for."


@dataclass(frozen=True)
class Example:
    """A row of a forget set, and why it is this one."""

    doc_id: str
    run: str  # of which forget set
    rule: str


def examples_of(findings: Findings, group: Group) -> tuple[Example, ...]:
    """The rows to show of a group; the same for all groups that hold them.

    Raises `UserError` for a named row that is in no forget set of the findings.
    """
    own = _results(findings, group)
    if findings.doc_ids:
        for doc_id in findings.doc_ids:
            _check(doc_id, findings.results)
        examples = (_named(doc_id, own) for doc_id in findings.doc_ids)
        return tuple(example for example in examples if example is not None)
    # What is chosen for the first group is shown of the others too, where they have it.
    for candidates in (*findings.table.groups[:1], group):
        example = _chosen(_results(findings, candidates))
        if example is not None and example_run(own, example) is not None:
            return (example,)
    return ()


def example_run(results: Iterable[Result], example: Example) -> Result | None:
    """Of a table row's runs the first, by seed, on that forget set that wrote a continuation."""
    return next((result for result in results if _has_written(result, example)), None)


def _has_written(result: Result, example: Example) -> bool:
    if result.forget_set.run != example.run or texts_of(result, example.doc_id) is None:
        return False
    return final(result, example.doc_id) is not None


def _results(findings: Findings, group: Group) -> list[Result]:
    return [result for row in group.rows for result in findings.results_of(row)]


def _named(doc_id: str, results: Sequence[Result]) -> Example | None:
    runs = sorted({r.forget_set.run for r in results if doc_id in r.forget_set.doc_ids})
    candidates = (Example(doc_id, run, _NAMED.format(doc_id=doc_id, run=run)) for run in runs)
    return next((one for one in candidates if example_run(results, one) is not None), None)


def _chosen(results: Sequence[Result]) -> Example | None:
    """By the rule, on the first forget set, of the rows that most of its results continue."""
    for run in sorted({result.forget_set.run for result in results}):
        on_run = [result for result in results if result.forget_set.run == run]
        counts = Counter(
            doc_id
            for result in on_run
            for doc_id in result.forget_set.doc_ids
            if _has_written(result, Example(doc_id, run, ""))
        )
        if counts:
            most = max(counts.values())
            in_order = dict.fromkeys(d for result in on_run for d in result.forget_set.doc_ids)
            return _best_known(on_run, [d for d in in_order if counts[d] == most], run)
    return None


def _best_known(results: Sequence[Result], doc_ids: Sequence[str], run: str) -> Example:
    # The row 'before' is asked first; a method's trace begins with the same model.
    for result in sorted(results, key=lambda r: r.role != "before"):
        if (best := best_known(result, doc_ids)) is not None:
            return Example(best, run, _BEST_KNOWN.format(run=run, group=results[0].group))
    return Example(doc_ids[0], run, _FIRST.format(run=run, group=results[0].group))


def _check(doc_id: str, results: Iterable[Result]) -> None:
    doc_ids = list(dict.fromkeys(d for result in results for d in result.forget_set.doc_ids))
    if doc_id not in doc_ids:
        near = get_close_matches(doc_id, doc_ids, n=3, cutoff=0.5) or doc_ids[:3]
        raise UserError(
            f"no forget set of these results has a row '{doc_id}' (near it: {', '.join(near)}); "
            "leave out --document and one is chosen by rule"
        )
