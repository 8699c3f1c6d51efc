"""What no result of a run can say: a file that does was edited or written by something else.

Types are checked before; these are the relations between values that tables, tests and joins
rely on.
"""

import math
from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from unlearnbench.files.strict_json import canonical
from unlearnbench.results.record import Result
from unlearnbench.results.score import Score

MOST_DECIMALS = 20


def contradiction(result: Result) -> str | None:
    """The first place of a result that contradicts the rest, and how; None for a sound one."""
    return next((said for find in _KINDS for said in find(result)), None)


def _counts(result: Result) -> Iterator[str]:
    """Counts, sizes and durations that are none."""
    found: dict[str, float] = {
        "seed": result.seed,
        "seconds": result.seconds,
        "model.n_parameters": result.model.n_parameters,
        "stop.n_unseen": result.stop.n_unseen,
        "environment.n_threads": result.environment.n_threads,
    }
    found |= {f"sets.{name}.n": one.n for name, one in result.sets.items()}
    for phase, cost in result.costs.items():
        found |= {f"costs.{phase}.{name}": value for name, value in vars(cost).items()}
    yield from (f"{name}: {v} is below 0" for name, v in found.items() if not 0 <= v < math.inf)


def _asked(result: Result) -> Iterator[str]:
    """Fields that say other than the identity, which the key is made of."""
    method = result.identity.get("method")
    said = {
        "seed": (result.identity, result.seed),
        "role": (result.identity, result.role),
        "group": (result.identity, result.group),
        "protocol": (result.identity, result.protocol),
        "settings": (method, result.method.settings),
    }
    for name, (of, value) in said.items():
        if isinstance(of, dict) and name in of and canonical(of[name]) != canonical(value):
            yield f"{'method.' * (of is method)}{name}: not that of its identity"


def _outcome(result: Result) -> Iterator[str]:
    try:
        datetime.fromisoformat(result.started_at)
    except ValueError:
        yield f"started_at: {result.started_at!r:.40} is no time"
    if result.status != "failed" and result.error is not None:
        yield f"error: of a cell whose status is {result.status}"
    trace = result.trace
    if trace is None:
        return
    if result.role != "method":
        yield f"trace: of a row of the role {result.role}, which trains nothing"
    of_status = {"ok": "forgotten", "not_forgotten": "not_forgotten"}
    if of_status.get(result.status, trace.outcome) != trace.outcome:
        yield f"trace.outcome: {trace.outcome}, where the status is {result.status}"


def _forget_set(result: Result) -> Iterator[str]:
    record, known = result.forget_set, set(result.forget_set.doc_ids)
    if len(known) < len(record.doc_ids):
        yield "forget_set.doc_ids: one is there twice"
    for name, texts in (("prefixes", record.prefixes), ("suffixes", record.suffixes)):
        if not texts.keys() <= known:
            yield f"forget_set.{name}: a doc_id that is none of the set's"
    if record.pair_doc_ids and len(record.pair_doc_ids) != len(record.doc_ids):
        yield f"forget_set.pair_doc_ids: {len(record.pair_doc_ids)} of {len(record.doc_ids)} rows"


def _columns(result: Result) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for place, record in enumerate(result.metrics):
        where = f"metrics.{place}"
        if (record.task, record.name) in seen:
            yield f"{where}: {record.task}'s '{record.name}' is there twice"
        seen.add((record.task, record.name))
        if not 0 <= record.decimals <= MOST_DECIMALS:
            yield f"{where}.decimals: {record.decimals} is not in 0..{MOST_DECIMALS}"
        if not 0 < record.scale < math.inf:
            yield f"{where}.scale: {record.scale} is no positive number"
        score = result.scores.get(record.task, {}).get(record.name)
        if score is not None and score.higher_is_better != record.higher_is_better:
            yield f"{where}.higher_is_better: another direction than the score's"


def _scores(result: Result) -> Iterator[str]:
    for task, by_metric in result.scores.items():
        for metric, score in by_metric.items():
            for said in contradictions_of(score):
                yield f"scores.{task}.{metric}.{said}"


def contradictions_of(score: Score) -> Iterator[str]:
    """What of a score does not go together."""
    if score.n < 0:
        yield f"n: {score.n} is below 0"
    if score.documents and len(score.documents) != score.n:
        yield f"documents: {len(score.documents)}, where n is {score.n}"
    if score.stderr is not None and score.stderr < 0:  # NaN: it could not be computed
        yield f"stderr: {score.stderr} is below 0"


def _epochs(result: Result) -> Iterator[str]:
    if result.trace is None:
        return
    known, before = set(result.forget_set.doc_ids), -1
    for place, epoch in enumerate(result.trace.epochs):
        where = f"trace.epochs.{place}"
        if epoch.epoch <= before:
            yield f"{where}.epoch: {epoch.epoch} after {before}"
        before = epoch.epoch
        if not 0 <= epoch.n_active <= len(known):
            yield f"{where}.n_active: {epoch.n_active} of {len(known)} rows"
        if not _are_distinct([row.doc_id for row in epoch.rows], known):
            yield f"{where}.rows: a doc_id that is there twice or none of the forget set's"
    if result.trace.n_epochs < max(before, 0):
        yield f"trace.n_epochs: {result.trace.n_epochs}, with an epoch {before}"


def _are_distinct(doc_ids: Collection[str], known: set[str]) -> bool:
    return len(set(doc_ids)) == len(doc_ids) and known.issuperset(doc_ids)


_KINDS: tuple[Callable[[Result], Iterator[str]], ...] = (
    _counts,
    _asked,
    _outcome,
    _forget_set,
    _columns,
    _scores,
    _epochs,
)
