"""The page's sections in their order: the document's blocks, then what every page ends with."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from markupsafe import Markup

from unlearnbench.analysis.table import Column, Group, Note, Row, Table
from unlearnbench.reporting import sections
from unlearnbench.reporting.document import MANY, Block, Case, Document, Listing, Picture

from .heat import steps as heat_steps
from .numbers import Keys, Number, number
from .pictures import drawn

# Shown where there is such a section and it has something to say; the reader opens them.
_FOLDED = {"pairs": "Paired comparisons", "stability": "Rank stability", "costs": "Costs"}
MAKING = ("stop_line", "protocol", "epoch_limit", "learning_rate", "means")
# Notes of the comparison table: a banner, the columns shown folded, and how it was made.
_ELSEWHERE = ("synthetic", "other", *MAKING)


@dataclass(frozen=True)
class Line:
    """One row."""

    number: int  # among all rows of the page; its provenance goes by it
    key: str  # what the page's address names it by: 'neo-icu-alpha-0-1'
    row: Row
    numbers: Mapping[str, Number]  # by column, those outside the scores included


@dataclass(frozen=True)
class TableContent:
    """A table with what the page needs to print it."""

    table: Table
    columns: tuple[Column, ...]  # those shown folded as well: no other format has them
    notes: tuple[Note, ...]
    groups: tuple[tuple[Group, tuple[Line, ...]], ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The rows of all groups."""
        return tuple(line for _, lines in self.groups for line in lines)

    def is_measured(self, column: Column) -> bool:
        """Whether any row has a value of it."""
        return any(column.name in line.row.cells for line in self.lines)


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
        return self.figure.replace("-", " ").capitalize()


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own."""

    name: str  # unique on the page
    title: str
    kind: str  # how the template prints it: 'table', 'listing', 'case', 'figures', ...
    content: Any = None


def page_sections(document: Document) -> tuple[Section, ...]:
    """The blocks as asked for, the comparison, figures, texts, statistics, and the making."""
    blocks = list(document.printed)
    if document.findings.results and document.findings.table not in document.blocks:
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


def tables_of(page: Sequence[Section]) -> tuple[TableContent, ...]:
    """The tables on the page in the order in which their rows are numbered."""
    return tuple(section.content for section in page if section.kind == "table")


def _sections_of(blocks: Sequence[Block], document: Document) -> tuple[Section, ...]:
    by_name: dict[str, Section] = {}
    numbers, keys = count(), Keys()
    for block in blocks:
        section = _section(block, document, numbers, keys)
        while section and section.name in by_name:  # two blocks of one name are two places
            section = replace(section, name=f"{section.name}-more")
        if section:
            by_name[section.name] = section
    return tuple(by_name.values())


def _section(
    block: Block, document: Document, numbers: Iterator[int], keys: Keys
) -> Section | None:
    if isinstance(block, Table):
        title = "Comparison"
        content = _table_content(block, numbers, keys)
        if block == document.findings.table:  # some of its notes stand elsewhere on the page
            notes = tuple(note for note in block.notes if note.kind not in _ELSEWHERE)
            content = replace(content, notes=notes)
        else:
            title += f": {', '.join(group.title for group in block.groups)}"
        return Section("comparison", title, "table", content)
    if isinstance(block, Picture):
        picture = _drawn(document, block)
        return Section(block.figure, picture.title, "figures", (picture,)) if picture else None
    kind = "case" if isinstance(block, Case) else "listing"
    return Section(block.name, block.title, kind, block)


def _table_content(table: Table, numbers: Iterator[int], keys: Keys) -> TableContent:
    columns = (*table.columns, *table.other_columns)
    groups = []
    for group in table.groups:
        heat = {column.name: heat_steps(group, column) for column in columns}
        lines = (
            Line(
                next(numbers),
                keys.key(row.label),
                row,
                {c.name: number(group, row, c, heat[c.name][place]) for c in columns},
            )
            for place, row in enumerate(group.rows)
        )
        groups.append((group, tuple(lines)))
    return TableContent(table, columns, table.notes, tuple(groups))


def _figures(document: Document, taken: set[str]) -> Iterator[Section]:
    """All figures that have something to draw and do not stand among the blocks."""
    names = [name for name in sections.figures() if name not in taken]
    pictures = (_drawn(document, Picture(name)) for name in names)
    if content := tuple(picture for picture in pictures if picture is not None):
        yield Section("figures", "Figures", "figures", content)


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
