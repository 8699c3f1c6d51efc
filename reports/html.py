"""The report as one HTML page that opens from disk."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.reporting.report import Report

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Document


@register
@dataclass(frozen=True)
class Html(Report):
    """One page for a browser: tables, figures, texts side by side, and where numbers come from."""

    name: ClassVar[str] = "html"
    suffix: ClassVar[str] = ".html"

    def render(self, document: "Document") -> str:
        """The page; it holds everything it shows and asks no other machine for anything."""
        from ._html.page import render

        return render(document)
