"""What is asked about: each continuation with the texts of its own row, joined by doc_id."""

from dataclasses import dataclass
from functools import cached_property

from unlearnbench.files.hashing import text_sha256
from unlearnbench.results.record import Result


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
    """The items of a finished cell by doc_id; empty where `why_not` has something to say."""
    if why_not(result) is not None:
        return {}
    whole = result.in_full()
    prefixes, suffixes = whole.forget_set.prefixes, whole.forget_set.suffixes
    return {
        doc_id: Item(prefixes[doc_id], suffixes[doc_id], candidate)
        for doc_id, candidate in whole.continuations.items()
    }


def why_not(result: Result) -> str | None:
    """Why a cell cannot be judged; None if it can."""
    if result.status == "failed":
        return "it failed"
    whole = result.in_full()
    if not whole.continuations:
        return "it holds no continuations"
    record = whole.forget_set
    bare = [d for d in whole.continuations if d not in record.prefixes or d not in record.suffixes]
    return f"it holds no prefix and suffix for doc_id {bare[0]}" if bare else None
