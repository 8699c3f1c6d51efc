"""The pictures of a document as files beside it."""

import re
from typing import TYPE_CHECKING

from unlearnbench.registry import find
from unlearnbench.reporting.document import Document, Picture

if TYPE_CHECKING:
    from unlearnbench.reporting.report import Format


def picture_files(document: Document, stem: str, kind: "Format") -> dict[str, tuple[str, bytes]]:
    """File name and image by figure, for every figure that has something to show.

    The file names hold no character that LaTeX or a link would take for its own.
    """
    figures = dict.fromkeys(b.figure for b in document.blocks if isinstance(b, Picture))
    images = {name: find("reports", name)().image(document.findings, kind) for name in figures}
    return {
        name: (f"{safe_name(stem)}-{name}.{kind}", image)
        for name, image in images.items()
        if image is not None
    }


def safe_name(text: str) -> str:
    """The text as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text)
