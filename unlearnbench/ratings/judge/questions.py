"""Which continuations are judged: each with the texts of its own row, joined by doc_id."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TypeVar

from unlearnbench.analysis.build_table import ROLES
from unlearnbench.errors import unknown
from unlearnbench.files.hashing import text_sha256
from unlearnbench.ratings.judge.replies import Reply
from unlearnbench.results.record import Result

_T = TypeVar("_T")


@dataclass(frozen=True)
class Item:
    """Three texts of one row of a forget set."""

    prefix: str
    reference: str  # the suffix that was to be forgotten
    candidate: str  # what the model wrote after the prefix

    @cached_property
    def key(self) -> str:
        """sha256 of the texts: where they are the same, one answer serves all rows and cells."""
        return text_sha256(self.prefix, self.reference, self.candidate)


@dataclass(frozen=True)
class Question:
    """An item to be asked about, and the first place it stands in."""

    item: Item
    cell: str  # the result's key
    doc_id: str


def items_of(result: Result) -> dict[str, Item]:
    """The continuations of a finished cell by doc_id; one without prefix or suffix is left out."""
    if result.status == "failed":
        return {}
    whole = result.in_full()
    prefixes, suffixes = whole.forget_set.prefixes, whole.forget_set.suffixes
    return {
        doc_id: Item(prefixes[doc_id], suffixes[doc_id], candidate)
        for doc_id, candidate in whole.continuations.items()
        if doc_id in prefixes and doc_id in suffixes
    }


def why_not(result: Result) -> str | None:
    """Why a cell cannot be judged; None if it can."""
    if result.status == "failed":
        return "it failed"
    return None if items_of(result) else "it holds no continuations"


@dataclass(frozen=True)
class SelectedCell:
    """A finished cell and the items of it that are judged, by doc_id."""

    result: Result
    items: Mapping[str, Item]


@dataclass(frozen=True)
class Selection:
    """The cells that are judged."""

    cells: tuple[SelectedCell, ...]
    skipped: tuple[str, ...] = ()  # a sentence for each cell that cannot be judged

    def items(self) -> list[Item]:
        """The items of all cells; the same one in several cells is there several times."""
        return [item for cell in self.cells for item in cell.items.values()]

    def questions(self) -> dict[str, Question]:
        """Every distinct item by its key, document by document over all cells.

        In this order a run that is stopped early has judged all rows on about the same documents.
        """
        places = [
            (place, Question(item, cell.result.key, doc_id))
            for cell in self.cells
            for place, (doc_id, item) in enumerate(cell.items.items())
        ]
        questions: dict[str, Question] = {}
        for _, question in sorted(places, key=itemgetter(0)):
            questions.setdefault(question.item.key, question)
        return questions

    def open(self, replies: Mapping[str, Reply], max_tokens: int) -> dict[str, Question]:
        """The questions without an answer, or with one that a lower token limit cut off."""
        return {
            key: question
            for key, question in self.questions().items()
            if (reply := replies.get(key)) is None
            or (reply.score is None and reply.is_cut_off and max_tokens > reply.max_tokens)
        }


def select(
    results: Sequence[Result],
    methods: Sequence[str] = (),
    runs: Sequence[str] = (),
    limit: int | None = None,
) -> Selection:
    """The results of those methods (or kinds of reference row) and forget sets; all for none.

    `limit` takes that many documents of each cell, the first by doc_id, hence the same ones
    for every row of a forget set.  Raises `UserError` for a name that no result has.
    """
    results = chosen("method", results, methods, _method_name)
    results = chosen("forget set", results, runs, lambda result: result.forget_set.run)
    cells, skipped = [], []
    for result in sorted(results, key=_place_in_table):
        if (reason := why_not(result)) is None:
            items = items_of(result)
            first = sorted(items, key=_as_number)[:limit]
            cells.append(SelectedCell(result, {doc_id: items[doc_id] for doc_id in first}))
        else:
            where = f"forget set {result.forget_set.run} (cell {result.key[:12]})"
            skipped.append(f"not judged: {result.label}, {where}: {reason}")
    return Selection(tuple(cells), tuple(skipped))


def chosen(
    kind: str, things: Sequence[_T], names: Sequence[str], name_of: Callable[[_T], str]
) -> Sequence[_T]:
    """Those of the names, all if there are none; raises `UserError` for a name that none has."""
    available = sorted({name_of(thing) for thing in things})
    for name in names:
        if name not in available:
            raise unknown(f"{kind} among the results", name, available, "unlearnbench report --csv")
    return [thing for thing in things if not names or name_of(thing) in names]


def _as_number(doc_id: str) -> tuple[int, str]:
    # '9' stands before '10'.
    return (len(doc_id) if doc_id.isdecimal() else 0, doc_id)


def _place_in_table(result: Result) -> tuple[int, int, str, str]:
    return ROLES.index(result.role), result.position, result.label, result.forget_set.run


def _method_name(result: Result) -> str:
    return result.method.name if result.role == "method" else result.role
