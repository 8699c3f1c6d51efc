"""The contract of an output format."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Document


class Report(ABC):
    """An output format of a document; one file under `reports/`.

    Write one file with one subclass, decorate it with `@register`, and its name
    is a flag of `unlearnbench report`: see `docs/report.md`.
    """

    name: ClassVar[str]  # 'latex'; also the flag: --latex
    suffix: ClassVar[str] = ".txt"

    @abstractmethod
    def render(self, document: "Document") -> str:
        """The whole document as text, ending in a newline; it never loads a model or a result."""

    def files(self, document: "Document", stem: str) -> dict[str, bytes]:
        """The files by name that stand for the document: one, unless it has pictures beside it."""
        return {stem + self.suffix: self.render(document).encode()}
