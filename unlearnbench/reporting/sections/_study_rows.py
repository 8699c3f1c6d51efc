"""Which of a report's rows a study's cells are: the results they were drawn from tell."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearnbench.ratings.human.scores import CellName
    from unlearnbench.ratings.human.studies import StudyFindings
    from unlearnbench.reporting.findings import Findings


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
