"""What reviewers ask, answered from the results: what was done, what not, where it stands."""

from collections.abc import Callable, Iterable, Iterator

from unlearnbench.analysis.table import Note
from unlearnbench.reporting import printing
from unlearnbench.reporting.checklist import costs, data, evidence, models, unlearning
from unlearnbench.reporting.checklist.lines import Line
from unlearnbench.reporting.document import Findings, Listing

_PARTS: dict[str, Callable[[Findings], Iterable[Line]]] = {
    "data": data.lines,
    "models": models.lines,
    "unlearning": unlearning.lines,
    "evidence": evidence.lines,
    "costs and software": costs.lines,
}
_ABOUT = (
    "Filled in from the results by unlearnbench report --checklist. 'Not recorded': the results do "
    "not say; say it beside the table. Where: fields of the stored results, or sections of the "
    "report. Digests are cut to 12 of 64 characters."
)


def blocks(findings: Findings) -> Iterator[Listing]:
    """One listing a subject; every question has a line, whatever its answer."""
    for title, lines in _PARTS.items():
        yield Listing(
            printing.anchor("checklist", title),
            f"Checklist: {title}",
            ("Item", "Done", "Answer", "Where in the results"),
            tuple(map(tuple, lines(findings))),
            n_labels=4,
            notes=(Note("about", _ABOUT),) if title == next(reversed(_PARTS)) else (),
        )
