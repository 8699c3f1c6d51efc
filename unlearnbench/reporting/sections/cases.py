"""Side by side: what every row's model writes after the same prefix."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import NOT_FORGOTTEN, Column, Group, Note, Row
from unlearnbench.reporting import printing
from unlearnbench.reporting.continuations import (
    Example,
    Texts,
    example_run,
    examples_of,
    final,
    texts_of,
)
from unlearnbench.reporting.document import Case, Findings, Passage
from unlearnbench.results.record import Result

QUOTED = "Prefix and reference are quoted from the forget set: what was to be forgotten."
_FACTS = ("el10", "ma", "bertscore_f1", "entropy")


@dataclass(frozen=True)
class _Written:
    """A row of the table, and the run of it whose continuation is shown, if it has one."""

    row: Row
    result: Result | None
    texts: Texts | None

    @property
    def label(self) -> str:
        """The row's label, marked if this run did not forget."""
        failed = self.result is not None and self.result.status == "not_forgotten"
        return f"{self.row.label} {NOT_FORGOTTEN}" if failed else self.row.label


def blocks(findings: Findings) -> Iterator[Case]:
    """One case per group and row of a forget set that is shown; none without continuations."""
    columns = printing.row_columns(findings.table)
    facts = {name: column for name, column in columns.items() if name in _FACTS}
    for group in findings.table.groups:
        for example in examples_of(findings, group):
            yield _case(findings, group, example, facts)


def _case(findings: Findings, group: Group, example: Example, facts: dict[str, Column]) -> Case:
    written = []
    for row in group.rows:
        result = example_run(findings.results_of(row), example)
        written.append(_Written(row, result, texts_of(result, example.doc_id) if result else None))
    texts = next(one.texts for one in written if one.texts is not None)
    same = [one for one in written if one.texts is not None and one.texts.agrees_with(texts)]
    return Case(
        printing.anchor("case", group.title, example.run, example.doc_id),
        f"Row {example.doc_id} of forget set {example.run}, {group.title}",
        texts.prefix,
        texts.reference,
        tuple(
            Passage(one.label, text.text, printing.facts(facts, text.values))
            for one in same
            if one.result and (text := final(one.result, example.doc_id))
        ),
        _notes(written, same, texts, example),
    )


def _notes(
    written: Sequence[_Written], same: Sequence[_Written], texts: Texts, example: Example
) -> tuple[Note, ...]:
    without = [one.row.label for one in written if one.result is None]
    others = [one.row.label for one in written if one.texts is not None and one not in same]
    cut = [one.row.label for one in same if one.texts != texts]
    several = any(len({run.seed for run in one.row.runs}) > 1 for one in written)
    seeds = listed(map(str, sorted({one.result.seed for one in written if one.result})))
    marked = any(one.label != one.row.label for one in same)
    missed = "Did not reach the stop line within the epoch limit."
    return printing.notes(
        ("rule", example.rule),
        ("quoted", QUOTED),
        ("values", "The values are of this row alone, by the finished model."),
        ("seeds", f"Seed {seeds}, the first of several." if several else ""),
        ("not_forgotten", missed if marked else "", NOT_FORGOTTEN),
        ("without", f"No continuation of this row: {listed(without)}." if without else ""),
        ("others", f"Other texts under the same doc_id: {listed(others)}." if others else ""),
        ("cut", f"{listed(cut)}: prefix and reference cut at other tokens." if cut else ""),
    )
