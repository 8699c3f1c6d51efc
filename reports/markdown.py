"""The document as Markdown."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.table import INDISTINCT, INTERVALS_TITLE, Table, interval_columns
from unlearnbench.registry import register
from unlearnbench.reporting.document import Case, Listing, Picture

from ._texts import IllustratedReport, one_line, passages_of

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Column, Group, Note, Row
    from unlearnbench.reporting.document import Block, Document

_RANK = {1: "**{}**", 2: "<ins>{}</ins>", None: "{}"}
_LEGEND = (
    "Bold is the best and underlined the second best of the compared rows; "
    "equal as printed is equal in rank."
)

Text = Callable[["Row", "Column"], str]  # of a cell


@register
@dataclass(frozen=True)
class Markdown(IllustratedReport):
    """GitHub's Markdown: means with their standard deviation over runs, notes as a list."""

    name: ClassVar[str] = "markdown"

    suffix: ClassVar[str] = ".md"
    picture_kind = "png"

    def text(self, document: "Document", pictures: Mapping[str, str] | None) -> str:
        """One table per group under its heading, then the notes; of a picture its caption."""
        parts = [f"## {_escaped(document.title)}"] if document.title else []
        parts += [_notes(document.notes)] if document.notes else []
        for block in document.printed:
            parts += _block(block, pictures)
        return "\n\n".join(parts) + "\n"


def _block(block: "Block", links: Mapping[str, str] | None) -> Iterator[str]:
    match block:
        case Table():
            yield from _table(block)
        case Listing():
            yield from _listing(block)
        case Case():
            yield from _case(block)
        case Picture():
            yield from _picture(block, links)


def _table(table: "Table") -> Iterator[str]:
    for group in table.groups:
        size = f" ({group.parameters} parameters)" if group.parameters else ""
        yield f"### {_escaped(group.title)}{size}"
        yield _group(group, table.columns, partial(_cell, group))
        if columns := interval_columns([group], table.columns):
            yield f"{INTERVALS_TITLE}:"
            yield _group(group, columns, group.interval)
    yield _notes(table.notes, _LEGEND)


def _group(group: "Group", columns: Sequence["Column"], text: Text) -> str:
    headers = ["", *(f"{c.title} {c.arrow}".strip() for c in columns)]
    labels = [f"{_escaped(row.label)} {row.markers}".strip() for row in group.rows]
    cells = [[text(row, c) for c in columns] for row in group.rows]
    rows = [[label, *of_row] for label, of_row in zip(labels, cells, strict=True)]
    return _pipes(headers, rows, 1)


def _cell(group: "Group", row: "Row", column: "Column") -> str:
    cell = row.cells.get(column.name)
    text = _RANK[cell.rank if cell else None].format(group.text(row, column))
    spread = group.spread(row, column)
    deviation = f" ±{spread}" if cell is not None and cell.std is not None and spread != "–" else ""
    doubt = INDISTINCT if cell and cell.indistinct else ""
    return text + group.flag(row, column) + doubt + deviation


def _listing(listing: Listing) -> Iterator[str]:
    yield f"### {_escaped(listing.title)}"
    rows = [[_escaped(cell) for cell in row] for row in listing.rows]
    yield _pipes(listing.headers, rows, listing.n_labels)
    if listing.notes:
        yield _notes(listing.notes)


def _pipes(headers: Sequence[str], rows: Sequence[Sequence[str]], n_labels: int) -> str:
    from tabulate import tabulate

    return tabulate(
        rows,
        headers=[_escaped(header) for header in headers],
        colalign=["left" if i < n_labels else "right" for i in range(len(headers))],
        tablefmt="pipe",
        disable_numparse=True,
    )


def _case(case: Case) -> Iterator[str]:
    yield f"### {_escaped(case.title)}"
    for passage in passages_of(case):
        facts = ", ".join(f"{name} {value}" for name, value in passage.facts)
        yield f"**{_quoted(passage.label)}**" + (f" – {_escaped(facts)}" if facts else "")
        yield f"> {_quoted(passage.text)}"
    if case.notes:
        yield _notes(case.notes)


def _picture(picture: Picture, links: Mapping[str, str] | None) -> Iterator[str]:
    if links is not None and picture.figure not in links:
        return  # these results have nothing to show in it
    caption = _quoted(one_line(picture.caption))
    if links is not None:
        yield f"![{caption}]({links[picture.figure]})"
    yield f"**Figure** ({picture.figure}): {caption}"


def _notes(notes: Sequence["Note"], legend: str = "") -> str:
    texts = [legend, *(f"{note.marker} {note.text}".strip() for note in notes)]
    return "\n".join(f"- {_escaped(text)}" for text in texts if text)


def _escaped(text: str) -> str:
    """Our own words; single underscores and '<' before a space already print as they are."""
    return re.sub(r"([\\`*|\[\]]|__|<(?! ))", r"\\\1", one_line(text))


def _quoted(text: str) -> str:
    """Anybody's words in one line: no sign in them is markup."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|~&$!#])", r"\\\1", text)
    # At its start a line may also be a list or a rule.
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", escaped)
