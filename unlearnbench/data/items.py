"""Items to forget or to keep, and the splits of a benchmark that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from unlearnbench.data.templates import Template
from unlearnbench.files.hashing import text_sha256

SplitRole = Literal["forget", "retain", "holdout", "general"]


@dataclass(frozen=True)
class Item:
    """A question with its answer, or a text (no question); what it is measured by beside them."""

    doc_id: str  # its name within the split
    question: str  # '' for a text, of which every token is scored
    answer: str
    paraphrases: tuple[str, ...] = ()  # of the answer
    wrong: tuple[str, ...] = ()  # answers of the same form that are false; choices of a question
    # 'forget10.jsonl, row 3': what an error names; no part of what is measured, nor of its digest
    where: str = field(default="", compare=False, repr=False)
    position: int | None = None  # of multiple choice: the answer's among the choices, from 0
    asked_as: str = ""  # of multiple choice: lm-eval's task whose words it is asked in

    @property
    def choices(self) -> tuple[str, ...]:
        """Of multiple choice all choices in their order, else none."""
        at = self.position
        return () if at is None else (*self.wrong[:at], self.answer, *self.wrong[at:])


@dataclass(frozen=True)
class Split:
    """Items with a role, how they become tokens, and what is measured of them."""

    name: str  # as in metrics' names: 'forget', 'real_authors', 'forget_jailbreak'
    role: SplitRole
    items: tuple[Item, ...]
    template: Template = field(default_factory=Template)
    measures: frozenset[str] = frozenset()  # names of measures that tasks know: 'probability'
    new_tokens: int = 200  # that a reply may have
    cut: bool = False  # a reply is compared with so many tokens of the answer alone
    stop: tuple[str, ...] = ()  # texts at which a reply ends
    source: str = ""  # hub id or file, as records name it

    def __len__(self) -> int:
        return len(self.items)

    def first(self, limit: int | None) -> "Split":
        """The first items; all of them without a limit."""
        return self if limit is None else replace(self, items=self.items[:limit])

    def asks(self, *measures: str) -> bool:
        """Whether any of these is measured of it."""
        return not self.measures.isdisjoint(measures)

    @property
    def is_to_forget(self) -> bool:
        """Whether to know it is what unlearning is to end."""
        return self.role == "forget"

    @cached_property
    def sha256(self) -> str:
        """Digest of all that decides what is measured of it."""
        how = (self.name, self.role, sorted(self.measures), self.new_tokens, self.cut, self.stop)
        return text_sha256(repr(how), repr(self.template), repr(self.items))


def select(splits: Sequence[Split], *measures: str) -> list[Split]:
    """The splits of which any of these is measured, in their order."""
    return [split for split in splits if split.asks(*measures)]
