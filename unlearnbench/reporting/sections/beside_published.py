"""The beside-published section: printed values next to one's own, with the difference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from unlearnbench.analysis.columns import ABSENT, EPOCHS, PAPER_COLUMNS, S_M, S_Z, Column
from unlearnbench.analysis.table import Table
from unlearnbench.reporting.document import Listing
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.printing import anchor, name
from unlearnbench.reporting.published.matching import Beside, Line, besides
from unlearnbench.reporting.sections import _beside_notes as notes
from unlearnbench.reporting.sections._beside_cells import Comparison

NAME = "beside-published"
_TASKS = (
    "lambada", "hellaswag", "winogrande", "copa", "arc_easy", "arc_challenge", "piqa", "mathqa",
    "pubmedqa",
)  # fmt: skip
_DIALOGUES = (
    "wizard_of_wikipedia", "empathetic_dialogues", "blended_skill_talk", "wizard_of_internet",
)  # fmt: skip
# Five columns at most but for the nine tasks, so that a listing fits a narrow terminal.
_PARTS = {
    "forgetting": ("el10", "ma", "bertscore_f1", "entropy"),
    "utility": ("cls_avg", "dia_avg", "pile_ppl", "wikitext_ppl", "gpt"),
    "nine tasks": _TASKS,
    "dialogue sets": _DIALOGUES,
    "epochs and scores": ("epochs", "s_z", "s_m"),
}
_HUMAN = {"people and judge": ("human", "gpt")}


@dataclass(frozen=True)
class _Part:
    beside: Beside
    title: str
    columns: tuple[Column, ...]


def blocks(findings: Findings) -> tuple[Listing, ...]:
    """For each group the printed table has a model of: forgetting, utility, then the scores.

    Raises `UserError` if the paper prints nothing for any of them.
    """
    found = besides(findings)
    parts = [part for beside in found for part in _parts(beside, findings.table)]
    listings = [_listing(part, findings) for part in parts]
    # What holds for all of them is said once, under the last.
    last = listings[-1]
    everything = (*last.notes, *notes.of_all(found, findings))
    return (*listings[:-1], replace(last, notes=everything))


def _parts(beside: Beside, table: Table) -> Iterator[_Part]:
    known = _columns(table)
    parts = _HUMAN if beside.table.name == "human" else _PARTS
    for title, names in parts.items():
        columns = tuple(known[n] for n in names if n in beside.table.columns)
        if columns:
            yield _Part(beside, title if len(columns) > 1 else name(columns[0]), columns)


def _columns(table: Table) -> dict[str, Column]:
    """By name: as measured here, else as the paper has them."""
    unmeasured = {n: Column(n, n.replace("_", " "), True) for n in (*_TASKS, *_DIALOGUES)}
    human = Column("human", "Human", True)
    paper = {column.name: column for column in (*PAPER_COLUMNS, EPOCHS, S_Z, S_M, human)}
    own = {column.name: column for column in (*table.metric_columns, *table.other_columns)}
    return {**unmeasured, **paper, **own}


def _listing(part: _Part, findings: Findings) -> Listing:
    comparison = Comparison(part.beside, part.columns, findings)
    headers = [f"{name(column)} {column.arrow}".strip() for column in part.columns]
    return Listing(
        name=anchor(NAME, part.beside.group.title, part.title),
        title=f"{part.beside.group.title} beside {_place(part.beside)}: {part.title}",
        headers=("", "", *headers, *comparison.extra_headers),
        rows=tuple(row for line in part.beside.lines for row in _rows(line, comparison)),
        n_labels=2,
        notes=notes.of_listing(part.beside, comparison, findings),
    )


def _place(beside: Beside) -> str:
    return f"{beside.table.place} ({beside.size}, {beside.table.source})"


def _rows(line: Line, comparison: Comparison) -> list[tuple[str, ...]]:
    """Three lines for a row that both have, else one that says whose it is."""
    label = f"{line.label} {line.own.markers}".strip() if line.own else line.label
    own, printed = comparison.own(line), comparison.printed(line)
    if not _says_something(own) and not _says_something(printed):
        return []
    if line.printed is None:
        return [(label, "here only", *own)]
    if line.own is None:
        return [(label, "printed only", *printed)]
    told = comparison.printed_name(line)
    return [
        (label, "here", *own),
        (label, told, *printed),
        (label, "difference", *comparison.differences(line)),
    ]


def _says_something(texts: Sequence[str]) -> bool:
    return any(text != ABSENT for text in texts)
