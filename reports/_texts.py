"""What the text formats share: texts made safe to print on one line, and pictures beside them."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from unlearnbench.registry import find
from unlearnbench.reporting.document import Case, Document, Passage, Picture
from unlearnbench.reporting.report import Format, Report

LINE_END = "↵"
NOTHING = "(nothing)"
_LINE_ENDS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Controls, half characters, and the signs that reverse the reading order of what follows them.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def one_line(text: str) -> str:
    """The text with each line end as a visible mark and what must not reach a terminal as '�'."""
    marked = _LINE_ENDS.sub(f"{LINE_END} ", text).replace("\t", " ")
    return _UNPRINTABLE.sub("\ufffd", marked).strip()


def passages_of(case: Case) -> tuple[Passage, ...]:
    """All texts of a case in one line each: prefix and reference first, then what models wrote."""
    source = (Passage("prefix", case.prefix), Passage("reference", case.reference))
    passages = (*(p for p in source if p.text), *case.passages)
    return tuple(
        Passage(
            one_line(p.label),
            one_line(p.text) or NOTHING,
            tuple((name, one_line(value)) for name, value in p.facts),
        )
        for p in passages
    )


def fact_names(case: Case) -> tuple[str, ...]:
    """The names of what is told about any passage, in the order in which they first occur."""
    return tuple(dict.fromkeys(name for passage in case.passages for name, _ in passage.facts))


def head_lines(headers: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The headers in one line, or with their units in a second: 'MA', '(%) ↓'."""
    pairs = [header.partition(" (") for header in headers]
    if not any(bracket for _, bracket, _ in pairs):
        return [headers]
    return [tuple(name for name, _, _ in pairs), tuple((b + unit).strip() for _, b, unit in pairs)]


class IllustratedReport(Report):
    """A text format whose pictures lie beside it as files."""

    picture_kind: ClassVar[Format]

    @abstractmethod
    def text(self, document: Document, pictures: Mapping[str, str] | None) -> str:
        """The document with the drawn pictures' files by figure; None: none is drawn."""

    def render(self, document: Document) -> str:
        """The document without its pictures."""
        return self.text(document, None)

    def files(self, document: Document, stem: str) -> dict[str, bytes]:
        """The text and beside it the pictures that have something to show.

        The pictures' names hold no character that LaTeX or a link would take for its own.
        """
        kind = self.picture_kind
        images: dict[str, bytes] = {}
        pictures: dict[str, str] = {}
        for figure in dict.fromkeys(b.figure for b in document.blocks if isinstance(b, Picture)):
            image = find("reports", figure)().image(document.findings, kind)
            if image is not None:
                pictures[figure] = f"{safe_name(stem)}-{figure}.{kind}"
                images[pictures[figure]] = image
        return {stem + self.suffix: self.text(document, pictures).encode(), **images}


def safe_name(text: str) -> str:
    """The text as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text)
