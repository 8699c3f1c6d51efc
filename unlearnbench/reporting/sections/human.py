"""The human section: people's score and the judge's, per model and method, and Pearson's r."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from unlearnbench.analysis.columns import ABSENT
from unlearnbench.analysis.table import NOT_FORGOTTEN
from unlearnbench.ratings.human.printing import interval_text, method_text, number_text
from unlearnbench.ratings.judge.scores import METRIC, RECORD, TASK
from unlearnbench.reporting.document import Listing
from unlearnbench.reporting.sections._human_notes import notes_of_judge, notes_of_study

if TYPE_CHECKING:
    from unlearnbench.analysis.columns import Column
    from unlearnbench.ratings.human.beside_judge import JudgedCell
    from unlearnbench.ratings.human.scores import CellName, CellScore
    from unlearnbench.ratings.human.studies import StudyFindings
    from unlearnbench.reporting.findings import Findings

NAME = "human"


def blocks(findings: "Findings") -> tuple[Listing, ...]:
    """One listing: the study's, else the judge's scores alone, else what to run."""
    study = findings.human
    if study is not None and study.scores is not None:
        return (_of_study(findings, study),)
    return (_of_judge(findings),)


def _of_study(findings: "Findings", study: "StudyFindings") -> Listing:
    judged = {(one.model, one.method): one for one in study.judge.cells} if study.judge else {}
    cells = study.scores.cells if study.scores else []
    names = names_here(findings, study)
    by = " (rules)" if study.is_rehearsal else ""
    judge = "Judge (rule)" if study.is_rehearsal else "Judge"
    return Listing(
        NAME,
        "Rehearsal of the human study, by rules" if study.is_rehearsal else "Human study",
        ("Model", "Method", f"Human score{by}", "95% interval", judge, "Documents", "Ratings"),
        tuple(_line(cell, names, judged.get((cell.model, cell.method))) for cell in cells),
        n_labels=2,
        notes=notes_of_study(findings, study),
    )


def _line(
    cell: "CellScore", names: "Mapping[CellName, CellName]", judged: "JudgedCell | None"
) -> tuple[str, ...]:
    model, method = names.get((cell.model, cell.method), (cell.model, cell.method))
    return (
        model,
        method_text(cell.model_copy(update={"method": method})),
        number_text(cell.normalised),
        interval_text(cell.low, cell.high),
        ABSENT if judged is None else number_text(judged.judge),
        str(cell.n_documents),
        str(cell.n_scores),
    )


def _of_judge(findings: "Findings") -> Listing:
    """The judge's scores as the table has them; no rows where nobody has judged."""
    columns = (*findings.table.metric_columns, *findings.table.other_columns)
    column = next((c for c in columns if (c.task, c.metric) == (TASK, METRIC)), None)
    rows = tuple(_judged_lines(findings, column)) if column else ()
    return Listing(
        NAME,
        "Human study: no ratings",
        ("Model", "Method", column.label if column else RECORD.label, "Documents"),
        rows,
        n_labels=2,
        notes=notes_of_judge(findings, has_scores=bool(rows)),
    )


def _judged_lines(findings: "Findings", column: "Column") -> Iterator[tuple[str, ...]]:
    for group in findings.table.groups:
        for row in group.rows:
            if column.name in row.cells:
                scores = [r.scores[TASK] for r in findings.results_of(row) if TASK in r.scores]
                n_documents = sum(of_task[METRIC].n for of_task in scores)
                marker = f" {NOT_FORGOTTEN}" if row.n_not_forgotten else ""
                score = group.text(row, column)
                yield group.title, row.label + marker, score, str(n_documents)


def names_here(findings: "Findings", study: "StudyFindings") -> "dict[CellName, CellName]":
    """The model and label that a study's cell has in this report, by those of its sheet.

    A sheet names rows as the whole folder's table did when it was drawn; an experiment of
    that folder may name the same results otherwise.  A cell of no row keeps its name.
    """
    found = {name: name for name in study.result_keys}
    for group in findings.table.groups:
        for row in group.rows:
            keys = {run.key for run in row.runs}
            of_row = (name for name, drawn in study.result_keys.items() if drawn & keys)
            found.update(dict.fromkeys(of_row, (group.title, row.label)))
    return found
