"""The contract of an output format."""

from abc import ABC, abstractmethod
from io import BytesIO
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.reporting.document import Document, Findings


class Report(ABC):
    """An output format of a document; one file under `reports/`.

    Write one file with one subclass, decorate it with `@register`, and its name
    is a flag of `unlearnbench report`: see `docs/report.md`.
    """

    plugin_kind: ClassVar[str] = "reports"
    name: ClassVar[str]  # 'latex'; also the flag: --latex
    suffix: ClassVar[str] = ".txt"

    @abstractmethod
    def render(self, document: "Document") -> str:
        """The whole document as text, ending in a newline; it never loads a model or a result."""

    def files(self, document: "Document", stem: str) -> dict[str, bytes]:
        """The files by name that stand for the document: one, unless it has pictures beside it."""
        return {stem + self.suffix: self.render(document).encode()}


Format = Literal["pdf", "png", "svg"]


KINDS: dict[str, Format] = {kind: kind for kind in get_args(Format)}


class Figure(Report):
    """A picture of the findings; one file under `reports/`, its name a flag as any report's."""

    suffix: ClassVar[str] = ".pdf"

    @abstractmethod
    def draw(self, findings: "Findings") -> "Drawing | None":
        """The picture; None where these findings have nothing to show in it."""

    @abstractmethod
    def caption(self, findings: "Findings") -> str:
        """What it shows, in sentences; also the text for those who do not see it."""

    def image(self, findings: "Findings", kind: Format) -> bytes | None:
        """The picture as a file of that kind, drawn once for all formats; None if there is none."""
        drawn = findings.images
        if (self.name, kind) not in drawn:
            drawn[self.name, kind] = self.make_image(findings, kind)
        return drawn[self.name, kind]

    def make_image(self, findings: "Findings", kind: Format) -> bytes | None:
        """What `image` gives, drawn anew: the same bytes each time."""
        drawing = self.draw(findings)
        if drawing is None:
            return None
        file = BytesIO()
        # A date in the file would make every drawing another one.
        dated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
        drawing.savefig(file, format=kind, metadata=dated)
        return file.getvalue()

    def render(self, document: "Document") -> str:  # noqa: ARG002
        """A picture is no text; raises `UserError`."""
        raise UserError(f"--{self.name} is a picture; write it to a file: -o {self.name}.pdf")

    def files(self, document: "Document", stem: str) -> dict[str, bytes]:
        """STEM.pdf and STEM.png; none where there is nothing to draw."""
        kinds: tuple[Format, ...] = ("pdf", "png")
        images = {f".{kind}": self.image(document.findings, kind) for kind in kinds}
        return {stem + suffix: image for suffix, image in images.items() if image is not None}
