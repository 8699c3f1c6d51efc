"""Writes a document's files: one format to a file, or every format into a folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_whole

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Document
    from unlearnbench.reporting.report import Figure, Report

ANOTHER = "choose another -o"


def report_for(name: str | None, path: Path) -> "Report":
    """The report of that name; without one, the format that the file's suffix stands for."""
    if name is not None:
        found: Report = registry.find("reports", name)()
        return found
    kinds = {kind.suffix: kind for kind in _formats()}
    if path.suffix not in kinds:
        known = ", ".join(sorted(kinds))
        raise UserError(
            f"-o {path}: no format has the suffix '{path.suffix}'; take one of {known}, "
            "or name a figure: --trade-off -o trade-off.pdf"
        )
    chosen: Report = kinds[path.suffix]()
    return chosen


def write_report(report: "Report", document: "Document", path: Path) -> None:
    """Write the report to that file, and beside it whatever files it needs.

    Raises `UserError` if there is nothing to show, and for a suffix that no picture has.
    """
    from unlearnbench.reporting.report import Figure

    if isinstance(report, Figure):
        written = _picture(report, document, path)
    else:
        written = report.files(document, path.stem)
    if not written:
        raise UserError(f"{report.name} has nothing to show of these results")
    for name, content in written.items():
        own = name in (path.name, path.stem + report.suffix)
        _write(path if own else path.parent / name, content)


def _picture(figure: "Figure", document: "Document", path: Path) -> dict[str, bytes]:
    from unlearnbench.reporting.report import KINDS

    kind = KINDS.get(path.suffix.removeprefix("."))
    if kind is None:
        raise UserError(f"-o {path}: a figure is written as {', '.join(KINDS)}")
    image = figure.image(document.findings, kind)
    return {} if image is None else {path.name: image}


def write_every_format(document: "Document", folder: Path, stem: str) -> None:
    """Write STEM in every format into a folder, each of its figures included."""
    for kind in _formats():
        for name, content in kind().files(document, stem).items():
            _write(folder / name, content)
    click.echo(f"unlearnbench: written to {folder}: {stem}.*", err=True)


def _formats() -> "list[type[Report]]":
    """The text formats, one per suffix; figures come with those that hold pictures."""
    from unlearnbench.reporting.report import Figure, Report

    formats: dict[str, type[Report]] = {}
    for kind in registry.reports().values():
        if issubclass(kind, Report) and not issubclass(kind, Figure):
            formats.setdefault(kind.suffix, kind)
    return list(formats.values())


def _write(path: Path, content: bytes) -> None:
    write_whole(path, content, ANOTHER)
