"""Continuations: what a model wrote after a row's prefix, with that very row's measurements.

Pure functions of a result; joins go by doc_id.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unlearnbench.results.record import EpochRecord, Result, RowRecord

#: The columns that are known row by row, and where each stands in a trace's record of a row.
ROW_FIELDS = {
    "el10": "el",
    "ma": "ma",
    "bertscore_f1": "bertscore_f1",
    "bleu": "bleu",
    "entropy": "entropy",
}


@dataclass(frozen=True)
class Texts:
    """One row of a forget set: what a model is given, and what really follows."""

    prefix: str
    reference: str

    def agrees_with(self, other: "Texts") -> bool:
        """Whether both are the same passage, be it cut at other places by another tokenizer."""
        short, long = sorted((_words(self), _words(other)), key=len)
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
        return Continuation(result.continuations[doc_id], _measured(result, doc_id))
    epochs = over_epochs(result, doc_id)
    return Continuation(epochs[-1].text, epochs[-1].values) if epochs else None


def over_epochs(result: Result, doc_id: str) -> tuple[Continuation, ...]:
    """One per examined epoch of the trace, epoch 0 first; empty without a trace."""
    trace = result.in_full().trace
    epochs = trace.epochs if trace is not None else []
    found = ((epoch, row) for epoch in epochs for row in epoch.rows if row.doc_id == doc_id)
    return tuple(_of_epoch(epoch, row) for epoch, row in found)


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
    known = {d: start.values for d, start in starts.items() if start and "ma" in start.values}
    if not known:
        return None
    # `max` keeps the first of equals.
    return max(known, key=lambda d: (known[d]["ma"], known[d].get("entropy", -math.inf)))


def evenly_spaced(items: Sequence[Continuation], most: int) -> tuple[Continuation, ...]:
    """The first, the last, and in between as evenly as whole numbers allow, at most so many."""
    last = len(items) - 1
    if last < most:
        return tuple(items)
    chosen = sorted({round(step * last / (most - 1)) for step in range(most)})
    return tuple(items[index] for index in chosen)


def _measured(result: Result, doc_id: str) -> dict[str, float]:
    of_rows = [m for m in result.metrics if m.documents == "rows" and m.name in ROW_FIELDS]
    scores = {m.name: result.scores.get(m.task, {}).get(m.name) for m in of_rows}
    return _known({name: s.documents.get(doc_id) for name, s in scores.items() if s is not None})


def _of_epoch(epoch: EpochRecord, row: RowRecord) -> Continuation:
    values = _known({name: getattr(row, field) for name, field in ROW_FIELDS.items()})
    return Continuation(row.continuation, values, epoch.epoch, row.active)


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {n: v for n, v in values.items() if v is not None and not math.isnan(v)}


def _words(texts: Texts) -> str:
    return " ".join((texts.prefix + texts.reference).split())
