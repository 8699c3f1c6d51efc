"""Which row of a forget set a report shows as an example, by a rule that is stated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from unlearnbench.analysis.table import Group
from unlearnbench.errors import UserError
from unlearnbench.reporting.continuations import best_known, final, texts_of
from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import Result

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
    if findings.doc_ids:
        for doc_id in findings.doc_ids:
            _check(doc_id, findings.results)
        own = _results(findings, [group])
        examples = (_named(doc_id, own) for doc_id in findings.doc_ids)
        return tuple(example for example in examples if example is not None)
    # What is chosen for the first group is shown of the others too, where they have it.
    for candidates in (findings.table.groups, [group]):
        example = _chosen(_results(findings, candidates[:1]))
        if example is not None and _has(_results(findings, [group]), example):
            return (example,)
    return ()


def example_run(results: Iterable[Result], example: Example) -> Result | None:
    """Of a table row's runs the first, by seed, on that forget set that wrote a continuation."""
    return next(filter(lambda result: _has_written(result, example), results), None)


def _has_written(result: Result, example: Example) -> bool:
    if result.forget_set.run != example.run or texts_of(result, example.doc_id) is None:
        return False
    return final(result, example.doc_id) is not None


def _results(findings: Findings, groups: Sequence[Group]) -> list[Result]:
    rows = (row for group in groups for row in group.rows)
    return [result for row in rows for result in findings.results_of(row)]


def _has(results: Iterable[Result], example: Example) -> bool:
    return example_run(results, example) is not None


def _named(doc_id: str, results: Sequence[Result]) -> Example | None:
    runs = sorted({r.forget_set.run for r in results if doc_id in r.forget_set.doc_ids})
    candidates = (Example(doc_id, run, _NAMED.format(doc_id=doc_id, run=run)) for run in runs)
    return next((example for example in candidates if _has(results, example)), None)


def _chosen(results: Sequence[Result]) -> Example | None:
    """By the rule, on the first forget set, of the rows that most of its results continue."""
    runs = sorted({result.forget_set.run for result in results})
    for run in runs:
        on_run = [result for result in results if result.forget_set.run == run]
        if doc_ids := _most_continued(on_run, run):
            return _best_known(on_run, doc_ids, run)
    return None


def _most_continued(results: Sequence[Result], run: str) -> list[str]:
    counts: dict[str, int] = {}
    for result in results:
        for doc_id in result.forget_set.doc_ids:
            counts[doc_id] = counts.get(doc_id, 0) + _has_written(result, Example(doc_id, run, ""))
    most = max(counts.values(), default=0)
    return [doc_id for doc_id, n in counts.items() if n == most] if most else []


def _best_known(results: Sequence[Result], doc_ids: Sequence[str], run: str) -> Example:
    # The row 'before' is asked first; a method's trace begins with the same model.
    for result in sorted(results, key=lambda r: r.role != "before"):
        if (best := best_known(result, doc_ids)) is not None:
            return Example(best, run, _BEST_KNOWN.format(run=run, group=results[0].group))
    return Example(doc_ids[0], run, _FIRST.format(run=run, group=results[0].group))


def _check(doc_id: str, results: Iterable[Result]) -> None:
    doc_ids = dict.fromkeys(d for result in results for d in result.forget_set.doc_ids)
    if doc_id in doc_ids:
        return
    near = get_close_matches(doc_id, list(doc_ids), n=3, cutoff=0.5) or list(doc_ids)[:3]
    raise UserError(
        f"no forget set of these results has a row '{doc_id}' (near it: {', '.join(near)}); "
        "leave out --document and one is chosen by rule"
    )
