"""The document's floats as LaTeX to put into a paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register

from ._latex.floats import PACKAGES, Page
from ._texts import one_line
from .latex import Latex

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Document


@register
@dataclass(frozen=True)
class LatexFragment(Latex):
    r"""The same tables and figures as floats alone, for \input into a paper."""

    name: ClassVar[str] = "latex-fragment"

    page: ClassVar[Page] = Page("htbp", width=480)

    def _text(self, document: "Document", included: Mapping[str, str] | None) -> str:
        remarks = [document.title, *(note.text for note in document.notes)]
        comments = [
            rf"% Needs \usepackage{{{','.join(PACKAGES)}}}",
            "% In a paper of two columns write table* where a table is to span both.",
            *(f"% {one_line(text)}" for text in remarks if text),
        ]
        return "\n\n".join(["\n".join(comments), *self.floats(document, included)]) + "\n"
