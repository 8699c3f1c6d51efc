"""Which rows a study compares: a model and a method with what each wrote on every document."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from unlearnbench.analysis.build_table import groups_of
from unlearnbench.results.record import Result, Role


class Document(NamedTuple):
    """One sequence of one forget set; `doc_id` alone is unique only within a source."""

    source: str
    run: str
    doc_id: str


@dataclass(frozen=True)
class StudyRow:
    """A model and a method, and its results (forget sets and seeds) that hold continuations."""

    model: str
    method: str  # both as in the table's
    name: str  # registered name; 'none' for a reference row
    role: Role
    results: tuple[Result, ...]

    @property
    def title(self) -> str:
        """What a person calls it: 'nano-neo: NEO + ICU'."""
        return f"{self.model}: {self.method}"

    def documents(self) -> dict[Document, list[Result]]:
        """The results that hold a continuation of each document: one per seed."""
        found: dict[Document, list[Result]] = defaultdict(list)
        for result in self.results:
            for doc_id in continuations(result):
                found[Document(result.forget_set.name, result.forget_set.run, doc_id)].append(
                    result
                )
        return dict(found)


def continuations(result: Result) -> dict[str, str]:
    """What the model wrote, by doc_id, where prefix and suffix are known; {} if nothing."""
    result = result.in_full()
    texts, record = result.continuations, result.forget_set
    return {d: t for d, t in texts.items() if d in record.prefixes and d in record.suffixes}


def usable(results: Iterable[Result]) -> tuple[list[Result], list[str]]:
    """The results that can take part, and of each of the others its file and why it cannot."""
    found = [(result, _why_unusable(result)) for result in results]
    told = [f"{r.key}.json ({r.group}: {r.label}): {why}" for r, why in found if why]
    return [result for result, why in found if why is None], told


def _why_unusable(result: Result) -> str | None:
    if result.status == "failed":
        return "the cell failed"
    if result.trace is not None and result.trace.outcome == "collapsed":
        return "the model collapsed"
    return None if continuations(result) else "it holds no continuations"


def study_rows(results: Sequence[Result]) -> list[StudyRow]:
    """The rows of usable results, named and ordered as in the table.

    Of a cell that was measured twice (with other tasks, say) the later result counts.
    """
    by_key = {result.key: result for result in results}
    rows = []
    for group in groups_of([_for_grouping(result) for result in results], ()):
        for row in group.rows:
            own = [by_key[run.content_sha256] for run in row.runs]
            rows.append(StudyRow(group.title, row.label, row.method, row.role, tuple(_latest(own))))
    return rows


def _for_grouping(result: Result) -> Result:
    """A copy that the table's grouping sorts by what changes the writing, with its key to go by.

    Tasks, texts and the BERT of BERTScore make groups of the table, but no other continuation.
    """
    pairs = {"pairs": (result.identity.get("encoders") or {}).get("pairs", "")}
    known = result.forget_set.model_copy(update={"content_sha256": result.key})
    return result.model_copy(update={"identity": {"encoders": pairs}, "forget_set": known})


def _latest(results: Iterable[Result]) -> list[Result]:
    latest: dict[tuple[str, str, int], Result] = {}
    for result in sorted(results, key=lambda r: (r.started_at, r.key)):
        latest[result.forget_set.name, result.forget_set.run, result.seed] = result
    return [latest[key] for key in sorted(latest)]
