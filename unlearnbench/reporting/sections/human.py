"""The human section: people's score and the judge's, per model and method, and Pearson's r."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import ABSENT, NOT_FORGOTTEN, Note
from unlearnbench.ratings.human.printing import (
    HOW,
    LIMIT_HIT,
    agreement_sentence,
    interval_text,
    method_text,
    number_text,
    pearson_sentence,
)
from unlearnbench.ratings.human.rehearsal import STAND_INS, describe
from unlearnbench.ratings.judge.scores import METRIC, RECORD, TASK
from unlearnbench.reporting.document import Listing

if TYPE_CHECKING:
    from unlearnbench.ratings.human.comparison import JudgeComparison, JudgedCell
    from unlearnbench.ratings.human.scores import CellName, CellScore, StudyScores
    from unlearnbench.ratings.human.studies import StudyFindings
    from unlearnbench.reporting.document import Findings

NAME = "human"
_ASK_PEOPLE = (
    "People's ratings: unlearnbench human sheet RESULTS --out RESULTS/human/NAME, then "
    "unlearnbench human serve RESULTS/human/NAME for each annotator. To see the whole path "
    "without people: unlearnbench human rehearse RESULTS."
)
_NO_JUDGE = (
    "No judge's scores beside these. The judge's scores: unlearnbench judge RESULTS --base-url URL "
    "--judge-model MODEL."
)


def blocks(findings: "Findings") -> tuple[Listing, ...]:
    """One listing: the study's, else the judge's scores alone, else what to run."""
    study = findings.human
    if study is None or study.scores is None:
        return (_without_study(findings),)
    return (_of_study(findings, study, study.scores),)


def _of_study(findings: "Findings", study: "StudyFindings", scores: "StudyScores") -> Listing:
    judged = {(one.model, one.method): one for one in study.judge.cells} if study.judge else {}
    names = row_names(findings, study)
    by = " (rules)" if study.is_rehearsal else ""
    judge = "Judge (rule)" if study.is_rehearsal else "Judge"
    return Listing(
        NAME,
        "Rehearsal of the human study, by rules" if study.is_rehearsal else "Human study",
        ("Model", "Method", f"Human score{by}", "95% interval", judge, "Documents", "Ratings"),
        tuple(_line(one, names, judged.get((one.model, one.method))) for one in scores.cells),
        n_labels=2,
        notes=(*_study_notes(findings, study, scores), *_warnings(study)),
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


def _without_study(findings: "Findings") -> Listing:
    """The judge's scores as the table has them; no rows where nobody has judged."""
    columns = (*findings.table.metric_columns, *findings.table.other_columns)
    column = next((c for c in columns if (c.task, c.metric) == (TASK, METRIC)), None)
    lines = []
    for group, row in ((g, row) for g in findings.table.groups for row in g.rows):
        if column is not None and column.name in row.cells:
            n_documents = sum(s.n for s in map(column.score, findings.results_of(row)) if s)
            label = row.label + (f" {NOT_FORGOTTEN}" if row.n_not_forgotten else "")
            lines.append((group.title, label, group.text(row, column), str(n_documents)))
    notes = [Note("ratings", f"No ratings of these results. {_ASK_PEOPLE}")]
    if lines:
        judge = (note for note in findings.notes if note.kind == "judge")
        notes = [*_synthetic(findings), *judge, *notes]
        if any(row.n_not_forgotten for group in findings.table.groups for row in group.rows):
            notes.append(Note("not_forgotten", LIMIT_HIT, NOT_FORGOTTEN))
    else:
        notes.append(Note("judge", _NO_JUDGE))
    return Listing(
        NAME,
        "Human study: no ratings",
        ("Model", "Method", column.label if column else RECORD.label, "Documents"),
        tuple(lines),
        n_labels=2,
        notes=(*notes, *_warnings(findings.human)),
    )


def row_names(findings: "Findings", study: "StudyFindings") -> "dict[CellName, CellName]":
    """The model and label that a study's cell has in this report, by those of its sheet.

    A sheet names rows as the whole folder's table did when it was drawn; an experiment of
    that folder may name the same results otherwise.  A cell of no row keeps its name.
    """
    names = {name: name for name in study.result_keys}
    for group in findings.table.groups:
        for row in group.rows:
            keys = {run.key for run in row.runs}
            of_row = (name for name, drawn in study.result_keys.items() if drawn & keys)
            names.update(dict.fromkeys(of_row, (group.title, row.label)))
    return names


def _study_notes(
    findings: "Findings", study: "StudyFindings", scores: "StudyScores"
) -> Iterator[Note]:
    """How the numbers were made, r, agreement, and what is not in them."""
    yield from _synthetic(findings)
    if scores.stand_ins:
        yield Note("stand_ins", describe(scores.stand_ins))
    yield Note(
        "human_score", f"Human score, 0 to 10: {HOW}; s is a document's mean rating, 1 to 8."
    )
    if any(cell.not_forgotten for cell in scores.cells):
        yield Note("not_forgotten", LIMIT_HIT, NOT_FORGOTTEN)
    if study.judge:
        yield from _judge_notes(scores, study.judge, study.judge_name)
    else:
        yield Note("judge", _NO_JUDGE)
    counts = ", ".join(
        f"{one.annotator} {one.n}" + (f" ({one.n_missing} missing)" if one.n_missing else "")
        for one in scores.annotators
    )
    who = f"{'Rules' if scores.stand_ins else 'Annotators'} and their ratings: {counts}."
    yield Note("agreement", f"{who} {agreement_sentence(scores.agreement)}")
    keys = findings.by_key.keys()
    elsewhere = [f"{model}, {method}" for (model, method), drawn in study.result_keys.items()
                 if not drawn <= keys]  # fmt: skip
    if elsewhere:
        text = f"Drawn from results that are not in this report: {'; '.join(elsewhere)}."
        yield Note("elsewhere", text)


def _synthetic(findings: "Findings") -> Iterator[Note]:
    return (note for note in findings.table.notes if note.kind == "synthetic")


def _judge_notes(scores: "StudyScores", judge: "JudgeComparison", name: str) -> Iterator[Note]:
    text = f"Judge, 0 to 10: {name}."
    yield Note("judge", f"{STAND_INS} {text}" if scores.stand_ins else text)
    parts = [pearson_sentence("(model, method) means", judge.over_cells)]
    if judge.over_items is not None:
        parts.append(pearson_sentence("single continuations", judge.over_items))
    if scores.stand_ins:
        parts.append("The rules have terms in common: this r says nothing of people and judges.")
    yield Note("pearson", f"Human score and judge: {' '.join(parts)}")
    if judge.unmatched:
        yield Note("unjudged", f"Rated but not judged, and not in r: {'; '.join(judge.unmatched)}.")
    rated = {(cell.model, cell.method): cell.n_documents for cell in scores.cells}
    fewer = [
        f"{cell.model}, {cell.method} ({cell.n_documents} of {rated[cell.model, cell.method]})"
        for cell in judge.cells
        if cell.n_documents not in (None, rated[cell.model, cell.method])
    ]
    if fewer:
        yield Note(
            "partly_judged",
            "The judge's mean, and r, are over the rated documents that it has scored: "
            f"{'; '.join(fewer)}.",
        )


def _warnings(study: "StudyFindings | None") -> Iterator[Note]:
    warnings = study.warnings if study is not None else ()
    return (Note("left_out", f"{text[:1].upper()}{text[1:]}.") for text in warnings)
