"""The document as LaTeX that compiles as printed, and its floats to put into a paper."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.table import Table
from unlearnbench.registry import register
from unlearnbench.reporting.document import Case, Listing, Picture

from ._latex.escaping import breakable
from ._latex.floats import PACKAGES, Page, figure_float
from ._latex.listings import case_floats, listing_floats
from ._latex.tables import notes_text, table_floats
from ._texts import IllustratedReport, one_line

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Block, Document

_DOCUMENT = r"""\documentclass{{article}}
\usepackage[a4paper,landscape,margin=15mm]{{geometry}}
\usepackage{{{packages}}}
\pagestyle{{empty}}
\begin{{document}}
{body}
\end{{document}}
"""
_TITLE = r"{{\Large\bfseries\raggedright {}\par}}\medskip"
_NOTES = "{{\\footnotesize\\raggedright\n{}\n}}\\medskip"


@register
@dataclass(frozen=True)
class Latex(IllustratedReport):
    """A LaTeX document that compiles as printed: booktabs, best bold, second best underlined."""

    name: ClassVar[str] = "latex"

    suffix: ClassVar[str] = ".tex"
    picture_kind = "pdf"
    page: ClassVar[Page] = Page("H", width=740)  # in the order of the blocks

    def text(self, document: "Document", pictures: Mapping[str, str] | None) -> str:
        """The document; in the place of a picture that is not drawn, how to get it."""
        title = [_TITLE.format(breakable(one_line(document.title)))] if document.title else []
        notes = [_NOTES.format(notes_text(document.notes))] if document.notes else []
        body = "\n\n".join([*title, *notes, *self.floats(document, pictures)])
        return _DOCUMENT.format(packages=",".join([*PACKAGES, "float"]), body=body)

    def floats(self, document: "Document", included: Mapping[str, str] | None) -> Iterator[str]:
        """Every block's floats, and the drawn pictures' files by figure; None: none is drawn."""
        for block in document.printed:
            yield from self._block(block, included)

    def _block(self, block: "Block", included: Mapping[str, str] | None) -> Iterator[str]:
        match block:
            case Table():
                yield from table_floats(block, self.page)
            case Listing():
                yield from listing_floats(block, self.page)
            case Case():
                yield from case_floats(block, self.page)
            case Picture():
                yield self._picture(block, included)

    def _picture(self, picture: Picture, included: Mapping[str, str] | None) -> str:
        caption = one_line(picture.caption)
        if included is None:
            how = f"unlearnbench report --{self.name} -o NAME{self.suffix}"
            return f"% Figure {picture.figure}: {caption}\n% It is drawn and included by: {how}"
        if picture.figure not in included:
            return f"% Figure {picture.figure}: these results have nothing to show in it."
        return figure_float(self.page, breakable(caption), included[picture.figure])


@register
@dataclass(frozen=True)
class LatexFragment(Latex):
    r"""The same tables and figures as floats alone, for \input into a paper."""

    name: ClassVar[str] = "latex-fragment"

    page: ClassVar[Page] = Page("htbp", width=480)

    def text(self, document: "Document", pictures: Mapping[str, str] | None) -> str:
        """The floats under comments that say what they need."""
        remarks = [document.title, *(note.text for note in document.notes)]
        comments = [
            rf"% Needs \usepackage{{{','.join(PACKAGES)}}}",
            "% In a paper of two columns write table* where a table is to span both.",
            *(f"% {one_line(text)}" for text in remarks if text),
        ]
        return "\n\n".join(["\n".join(comments), *self.floats(document, pictures)]) + "\n"
