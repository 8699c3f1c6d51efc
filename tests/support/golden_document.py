"""Synthetic documents for the tests of reports: a table with intervals, and all kinds of block.

Used by the tests through `runpy`; the numbers and the texts mean nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from golden_results import golden_results, result

from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.table import INDISTINCT, Cell, Note, Table
from unlearnbench.reporting.document import (
    Block,
    Case,
    Document,
    Findings,
    Listing,
    Passage,
    Picture,
)
from unlearnbench.reporting.report import Figure
from unlearnbench.results.record import Result

ODD = "100% of <b>a_b</b> & {x} #1 $y^2$ ~ \\ | `c` *d* [e](f) -- “q” 漢字 é α\x1b[31m\x00\u202e"
LONG_WORD = "Donaudampfschifffahrt" * 30


def document_of(
    *blocks: Block, title: str = "", notes: Sequence[Note] = (), results: Sequence[Result] = ()
) -> Document:
    """The blocks as a document."""
    return Document(title, blocks, Findings(tuple(results)), tuple(notes))


def golden_table() -> Table:
    """The table of `golden_results` with intervals of every kind and a doubtful first."""
    table = build_table(golden_results())
    changes = {
        ("OPT", "cls_avg"): {"low": 51.25, "high": 59.75, "indistinct": True},
        ("NEO + ICU (alpha=0.5)", "entropy"): {"low": 4.55, "high": 4.65, "indistinct": True},
        ("NEO + ICU (alpha=0.5)", "cls_avg"): {"low": 48.5, "high": 58.5},
        ("NEO + ICU (alpha=0.5)", "pile_ppl"): {"low": 9.0, "high": 10.123456},
        ("NEO + DPO", "pile_ppl"): {"low": 40.0, "high": 1234.5},
        ("NEO + KUMPR", "pile_ppl"): {"low": 1001.0, "high": math.inf},
        ("NEO + KL", "pile_ppl"): {"low": None, "high": 13.0},
    }
    notes = (
        *table.notes,
        Note("indistinct", "Best, but not told apart from the second.", INDISTINCT),
        Note("intervals", "Intervals: 95%, bootstrap over documents."),
    )
    groups = tuple(replace(group, rows=tuple(_with(row, changes) for row in group.rows))
                   for group in table.groups)  # fmt: skip
    return replace(table, groups=groups, notes=notes)


def golden_document() -> Document:
    """One block of every kind under a title, with a note on the whole."""
    results = [result("NEO + KL", method="kl"), result("NEO + ICU")]
    return document_of(
        build_table(results), golden_listing(), golden_case(), Picture("sketch", "Two rows_a & b."),
        title="All kinds of block, at 100%", results=results,
        notes=[Note("missing", "2 of 4 cells are still missing.")],
    )  # fmt: skip


def golden_listing() -> Listing:
    """Two columns of names and two of numbers, one absent."""
    return Listing(
        "pairs", "Pairs of methods, EL10", ("First", "Second", "Difference (%) ↓", "p"),
        (("NEO + ICU (alpha=0.5)", "NEO + KL", "-3.28", "0.041"), ("NEO + KL", "OPT", "–", "–")),
        n_labels=2, notes=(Note("test", "Paired over documents."),),
    )  # fmt: skip


def golden_case(text: str = ODD) -> Case:
    """One prefix with a line end, and three models' texts, one of them odd and one empty."""
    return Case(
        "case-0", "Document 0-17", "Dear Ms Ito,\nyour number is", " 555 0199.\n\nYours",
        (
            Passage("Before", "555 0199.\r\n\r\nYours", (("MA (%)", "98.0"), ("BLEU", "0.91"))),
            Passage("NEO + ICU", text, (("MA (%)", "12.0"),)),
            Passage("NEO + KUMPR", ""),
        ),
        notes=(Note("greedy", "Greedy continuations of 50 tokens."),),
    )  # fmt: skip


class Sketch(Figure):
    """A line through the rows' means; what it shows does not matter."""

    name = "sketch"

    def draw(self, findings: Findings):
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(4, 3))
        drawing.subplots().plot([r.scores["forgetting"]["el10"].value for r in findings.results])
        return drawing

    def caption(self, findings: Findings) -> str:
        return "A line."


class Blank(Figure):
    """A figure with nothing to show."""

    name = "blank"

    def draw(self, findings: Findings) -> None:
        return None

    def caption(self, findings: Findings) -> str:
        return "Nothing."


def _with(row, changes):
    cells: dict[str, Cell] = dict(row.cells)
    for (label, column), change in changes.items():
        if label == row.label:
            cells[column] = replace(cells[column], **change)
    return replace(row, cells=cells)
