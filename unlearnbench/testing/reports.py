"""The check of reports: a document of every kind of block, with hostile texts, is rendered."""

import tempfile
from functools import cache
from typing import TYPE_CHECKING, Any

from unlearnbench.testing.contract import (
    MODEL,
    N_ROWS,
    ContractError,
    check_described,
    process_untouched,
)

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Document
    from unlearnbench.reporting.report import Report
    from unlearnbench.results.record import Result

FOR_PEOPLE = (".txt", ".md", ".html", ".tex")
# Of what a report may be handed: control characters, markup of every format, other scripts.
HOSTILE = "100% of <b>a_b</b> & {x} #1 $y^2$ ~ \\ | `c` *d* “q” 漢字 é α\x1b[31m\x00\u202e"


def check_report(report: "type[Report]") -> str:
    """Render a document of every kind of block, hostile texts among them; gives the text.

    Checked: the description; text that ends in a newline and is the same the second time; no
    control character of the data in a format for people; files with contents; the process as it
    was.  Of a figure, which is no text, only its files.
    """
    from unlearnbench.reporting.report import Figure

    check_described(report)
    instance, document = report(), _document()
    text = ""
    if not isinstance(instance, Figure):
        text = instance.render(document)
        _check_text(report, text)
        with process_untouched(report.name):
            if instance.render(document) != text:
                raise ContractError(f"{report.name} rendered the same document differently")
    files = instance.files(document, "stem")
    for name, content in files.items():
        if not content or not isinstance(content, bytes):
            raise ContractError(f"{report.name}.files() gave nothing for {name}")
    return text


def _check_text(report: "type[Report]", text: Any) -> None:
    if not isinstance(text, str) or not text.endswith("\n"):
        raise ContractError(f"{report.name}.render() gave no text that ends in a newline")
    if report.suffix not in FOR_PEOPLE:
        return
    for control in ("\x1b", "\x00", "\u202e"):
        if control in text:
            raise ContractError(
                f"{report.name} printed the data's control character {control!r}; "
                "see unlearnbench.files.safe_text.visible"
            )


def _document() -> "Document":
    """One block of every kind, with hostile texts, over the results of a run of two rows."""
    from unlearnbench.analysis.table import Note
    from unlearnbench.reporting.document import Case, Document, Findings, Listing, Passage

    findings = Findings(_results())
    listing = Listing(
        "listing", HOSTILE, ("Name", "Value ↓"), ((HOSTILE, "-1.5"), ("漢字 " * 40, "–"))
    )
    passages = (Passage(HOSTILE, HOSTILE, (("MA (%)", "98.0"),)), Passage("empty", ""))
    case = Case("case", "One prefix", HOSTILE, "what follows", passages)
    notes = (Note("note", HOSTILE),)
    return Document("Conformance", (findings.table, listing, case), findings, notes)


@cache
def _results() -> "tuple[Result, ...]":
    """Of a reference row and a method, whose label is hostile."""
    from unlearnbench.api import run

    with tempfile.TemporaryDirectory() as folder:
        results = run(
            methods=["kumpr"], model=MODEL, limit=N_ROWS, max_epochs=1, runs=["0"],
            tasks=["forgetting"], references=["before"], out=folder,
        )  # fmt: skip
        return tuple(
            result.model_copy(update={"label": HOSTILE}) if result.role == "method" else result
            for result in results
        )
