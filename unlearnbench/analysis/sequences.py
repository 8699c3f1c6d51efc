"""Requests to forget, one after the other or all at once: what each step left of all so far."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from unlearnbench.analysis.table import Column, Group, Row, Table
from unlearnbench.results.record import Result

IN_TURN, AT_ONCE = "one after the other", "at once"


@dataclass(frozen=True)
class Step:
    """One row of the comparison after so many requests; means over its seeds."""

    row: Row
    group: Group
    results: tuple[Result, ...]
    requests: tuple[str, ...]  # the forget sets that were requested so far, in order
    is_in_turn: bool  # each from the model of the one before; the first request is both

    @property
    def how(self) -> str:
        """In which way the requests were met; empty of a single one, and of no unlearning."""
        if len(self.requests) == 1 or self.row.role != "method":
            return ""
        return IN_TURN if self.is_in_turn else AT_ONCE


def requests_of(result: Result) -> tuple[str, ...]:
    """The forget sets that a result's rows are of, in the order in which they were requested."""
    forget_set = result.identity.get("forget_set") or {}
    return tuple(forget_set.get("requests") or (result.forget_set.run,))


def is_in_turn(result: Result) -> bool:
    """Whether its model was unlearned from one that had forgotten earlier requests."""
    return "sequence" in result.identity


def sequences_of(table: Table, by_key: Mapping[str, Result]) -> dict[str, tuple[Step, ...]]:
    """By model the steps of its sequences, first by row, then by request; none without any.

    A row's steps are those of one sequence: requests that begin with those of the step before.
    """
    steps: dict[str, list[Step]] = {}
    for group in table.groups:
        for row in group.rows:
            results = tuple(by_key[run.key] for run in row.runs)
            for named in dict.fromkeys(requests_of(result) for result in results):
                own = tuple(r for r in results if requests_of(r) == named)
                step = Step(row, group, own, named, is_in_turn(own[0]))
                steps.setdefault(group.name, []).append(step)
    return {name: kept for name, own in steps.items() if (kept := _of_sequences(own))}


def _of_sequences(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps that belong to the longest sequence, in the order of rows and requests."""
    longest = max((s.requests for s in steps if s.is_in_turn), key=len, default=())
    chosen = [s for s in steps if s.requests == longest[: len(s.requests)]]
    rows = {label: at for at, label in enumerate(dict.fromkeys(s.row.label for s in chosen))}
    chosen.sort(key=lambda s: (rows[s.row.label], len(s.requests), not s.is_in_turn))
    return tuple(chosen)


def by_request(step: Step, column: Column) -> dict[str, float]:
    """The mean of each request's own rows after the step, in printed units, over its seeds.

    Empty where the metric's values are not known row by row.
    """
    of_results = [means for result in step.results if (means := _by_request(result, column))]
    if not of_results:
        return {}
    return {name: fmean(means[name] for means in of_results) for name in of_results[0]}


def _by_request(result: Result, column: Column) -> dict[str, float]:
    sizes: dict[str, int] = (result.identity.get("forget_set") or {}).get("requests") or {}
    score = column.score(result.in_full())
    if score is None or not sizes:
        return {}
    rows = iter(result.forget_set.doc_ids)
    parts = {name: [next(rows) for _ in range(n)] for name, n in sizes.items()}
    values = score.documents
    if not all(doc_id in values for own in parts.values() for doc_id in own):
        return {}
    return {
        name: fmean(values[i] for i in own) * column.scale for name, own in parts.items() if own
    }


def tokens_so_far(step: Step, by_key: Mapping[str, Result]) -> float | None:
    """Tokens that unlearning sent through the network for all requests so far, a mean over seeds.

    None where a step of the sequence has no result, or nothing was unlearned.
    """
    totals = [_tokens(result, by_key) for result in step.results]
    complete = [total for total in totals if total is not None]
    return fmean(complete) if totals and len(complete) == len(totals) else None


def _tokens(result: Result, by_key: Mapping[str, Result]) -> float | None:
    total = 0.0
    for step in _back_from(result, by_key):
        if step is None or "unlearn" not in step.costs:
            return None
        total += step.costs["unlearn"].forward_tokens
    return total


def _back_from(result: Result, by_key: Mapping[str, Result]) -> Iterator[Result | None]:
    """The result, and those of the steps before it; None for one that is not there."""
    current: Result | None = result
    while current is not None:
        yield current
        after = (current.identity.get("sequence") or {}).get("after")
        if after is None:
            return
        current = by_key.get(after)
    yield None
