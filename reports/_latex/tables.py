"""A comparison as LaTeX, in the style of the paper's Table I: means, deviations, intervals."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import INDISTINCT, INTERVALS_TITLE, SCORE_NAMES, interval_columns

from .escaping import breakable, escape, number, superscript
from .floats import RULE, centered, line, table_float, tabular

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Column, Group, Note, Row, Table

    from .floats import Page

_RANK = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}", None: "{}"}

Text = Callable[["Group", "Row", "Column"], str]


def table_floats(table: "Table", page: "Page") -> Iterator[str]:
    """The table of means with its notes, then deviations and intervals if there are any."""
    names = ", ".join(breakable(group.title) for group in table.groups)
    caption = (
        f"Unlearning compared: {names}. The best of the compared rows is bold and the second "
        "best underlined; equal as printed is equal in rank."
    )
    notes = notes_text(table.notes)
    yield table_float(page, caption, _tabular(table, table.columns, _mean), notes)
    if table.has_spread:
        measured = [c for c in table.columns if c.name not in SCORE_NAMES]
        body = _tabular(table, measured, lambda g, r, c: number(g.spread(r, c)))
        yield table_float(page, "Sample standard deviation over runs.", body)
    if columns := interval_columns(table.groups, table.columns):
        body = _tabular(table, columns, lambda g, r, c: number(g.interval(r, c)))
        yield table_float(page, f"{escape(INTERVALS_TITLE)}.", body)


def notes_text(notes: Sequence["Note"]) -> str:
    """Each note a paragraph, after its marker."""
    return "\n".join(superscript(n.marker) + breakable(n.text) + r"\par" for n in notes)


def _tabular(table: "Table", columns: Sequence["Column"], text: Text) -> str:
    heads = [
        line(["Model", r"\#", *(centered(escape(c.header[0])) for c in columns)]),
        line(["", "Params", *(centered(escape(c.header[1])) for c in columns)]),
    ]
    return tabular("lc" + "r" * len(columns), heads, list(_body(table, columns, text)))


def _body(table: "Table", columns: Sequence["Column"], text: Text) -> Iterator[str]:
    for group in table.groups:
        yield RULE
        if len(table.groups) > 1:
            yield rf"\multicolumn{{{len(columns) + 2}}}{{l}}{{\textit{{{escape(group.title)}}}}} \\"
        # As in Table I the number of parameters stands once, in the middle row.
        middle = (len(group.rows) - 1) // 2
        for i, row in enumerate(group.rows):
            size = group.parameters if i == middle else ""
            label = escape(row.label) + superscript(row.markers)
            yield line([label, size, *(text(group, row, c) for c in columns)])


def _mean(group: "Group", row: "Row", column: "Column") -> str:
    cell = row.cells.get(column.name)
    ranked = _RANK[cell.rank if cell else None].format(number(group.text(row, column)))
    doubt = INDISTINCT if cell and cell.indistinct else ""
    markers = group.flag(row, column) + doubt
    # Of no width, so that digits stand under digits.
    return ranked + (rf"\rlap{{{superscript(markers)}}}" if markers else "")
