"""The page's sections in their order: the document's blocks, then what every page ends with."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from unlearnbench.analysis.table import Note, Table
from unlearnbench.reporting import sections
from unlearnbench.reporting.document import Block, Case, Document, Listing, Picture
from unlearnbench.reporting.findings import MANY

from .comparison import Comparison, comparisons
from .making import MAKING
from .pictures import drawn

# Shown where there is such a section and it has something to say; the reader opens them.
_FOLDED = {"pairs": "Paired comparisons", "stability": "Rank stability", "costs": "Costs"}
# Notes of the comparison table: a banner, the columns shown folded, and how it was made.
_ELSEWHERE = ("synthetic", "other", *MAKING)


@dataclass(frozen=True)
class Shown:
    """A table with what the page needs to print it."""

    table: Table
    notes: tuple[Note, ...]
    groups: tuple[Comparison, ...]
    others: tuple[Comparison, ...]  # the same rows under the columns that no other format prints


@dataclass(frozen=True)
class Drawn:
    """A figure."""

    figure: str
    svg: Markup
    caption: str
    more: str = ""  # of a long caption, what one need not read to see what it shows

    @property
    def title(self) -> str:
        """Its name as a heading."""
        return _title(self.figure)


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own."""

    name: str  # unique on the page
    title: str
    kind: str  # how the template prints it: 'table', 'listing', 'case', 'figures', ...
    content: Any = None


def page_sections(document: Document) -> tuple[Section, ...]:
    """The blocks as asked for, the comparison, figures, texts, statistics, and the making."""
    blocks = list(document.blocks)
    if document.findings.results and document.findings.table not in document.tables:
        blocks.append(document.findings.table)
    requested = _sections_of(blocks, document)
    names = {section.name for section in requested}
    return (
        *requested,
        *_figures(document, names),
        Section("side-by-side", "Side by side", "reading"),
        Section("epoch-by-epoch", "Epoch by epoch", "epochs"),
        *(section for section in _folded(document) if section.name not in names),
        Section("making", "How it was made", "making"),
    )


def tables_of(page: Sequence[Section]) -> tuple[Table, ...]:
    """The tables on the page in the order in which their rows are numbered."""
    return tuple(section.content.table for section in page if section.kind == "table")


def _sections_of(blocks: Sequence[Block], document: Document) -> tuple[Section, ...]:
    by_name: dict[str, Section] = {}
    n_rows = 0
    for block in blocks:
        section = _section(block, document, n_rows)
        if section is None:
            continue
        while section.name in by_name:  # two blocks of one name are two places on the page
            section = Section(f"{section.name}-more", *list(vars(section).values())[1:])
        by_name[section.name] = section
        n_rows += _n_rows(block)
    return tuple(by_name.values())


def _section(block: Block, document: Document, n_rows: int) -> Section | None:
    if isinstance(block, Table):
        if block == document.findings.table:
            content = shown_table(block, n_rows, _ELSEWHERE)
            return Section("comparison", "Comparison", "table", content)
        return Section("comparison", _names(block), "table", shown_table(block, n_rows))
    if isinstance(block, Picture):
        picture = _drawn(document, block)
        if picture is None:
            return None
        return Section(block.figure, picture.title, "figures", (picture,))
    return Section(block.name, block.title, "case" if isinstance(block, Case) else "listing",
                   block)  # fmt: skip


def shown_table(table: Table, n_rows: int = 0, elsewhere: Sequence[str] = ()) -> Shown:
    """The table as the page prints it, its rows numbered on from that.

    Notes of the kinds that stand elsewhere on the page are left out.
    """
    notes = tuple(note for note in table.notes if note.kind not in elsewhere)
    others = comparisons(table, table.other_columns, n_rows) if table.other_columns else ()
    return Shown(table, notes, comparisons(table, table.columns, n_rows), others)


def _figures(document: Document, taken: set[str]) -> Iterator[Section]:
    """All figures that have something to draw and do not stand among the blocks."""
    names = [name for name in sections.figures() if name not in taken]
    pictures = (_drawn(document, Picture(name)) for name in names)
    shown_figures = tuple(picture for picture in pictures if picture is not None)
    if shown_figures:
        yield Section("figures", "Figures", "figures", shown_figures)


def _drawn(document: Document, picture: Picture) -> Drawn | None:
    svg = drawn(document.findings, picture)
    if svg is None:
        return None
    figure = sections.figures()[picture.figure]()
    caption = picture.caption or figure.caption(document.findings)
    return Drawn(picture.figure, svg, *_in_two(caption))


def _in_two(caption: str, enough: int = 240) -> tuple[str, str]:
    """The first sentences of a long caption, and the rest."""
    # 'Cls Avg. (ACC)' is no end of a sentence.
    end = re.search(r"\. (?=[A-Z])", caption[enough:])
    at = enough + end.start() + 1 if end else len(caption)
    return caption[:at], caption[at:].strip()


def _folded(document: Document) -> Iterator[Section]:
    if len(document.findings.results) > MANY:  # the table's notes say so
        return
    for name, title in _FOLDED.items():
        blocks = sections.section(name)(document.findings) if name in sections.names() else ()
        listings = tuple(block for block in blocks if isinstance(block, Listing) and block.rows)
        if listings:
            yield Section(name, title, "folded", listings)


def banners(document: Document) -> tuple[Note, ...]:
    """The notes that a reader must not miss: what the numbers are no claim about."""
    return tuple(note for note in document.findings.table.notes if note.kind == "synthetic")


def _n_rows(block: Block) -> int:
    return sum(len(group.rows) for group in block.groups) if isinstance(block, Table) else 0


def _names(table: Table) -> str:
    return "Comparison: " + ", ".join(group.title for group in table.groups)


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()
