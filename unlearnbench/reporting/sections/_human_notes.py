"""What the human section must say besides its numbers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import NOT_FORGOTTEN, Note
from unlearnbench.ratings.human.printing import HOW, LIMIT_HIT, agreement_sentence, pearson_sentence
from unlearnbench.ratings.human.stand_ins import STAND_INS, described

if TYPE_CHECKING:
    from unlearnbench.ratings.human.beside_judge import JudgeComparison
    from unlearnbench.ratings.human.scores import StudyScores
    from unlearnbench.ratings.human.studies import StudyFindings
    from unlearnbench.reporting.findings import Findings

_ASK_PEOPLE = (
    "People's ratings: unlearnbench human sheet RESULTS --out RESULTS/human/NAME, then "
    "unlearnbench human serve RESULTS/human/NAME for each annotator. To see the whole path "
    "without people: unlearnbench human rehearse RESULTS."
)
_ASK_A_JUDGE = "The judge's scores: unlearnbench judge RESULTS --base-url URL --judge-model MODEL."


def notes_of_study(findings: "Findings", study: "StudyFindings") -> tuple[Note, ...]:
    """How the numbers were made, r, agreement, and what is not in them."""
    scores = study.scores
    if scores is None:
        return ()
    told = [
        *_synthetic(findings),
        *_of_stand_ins(study),
        Note("human_score", f"Human score, 0 to 10: {HOW}; s is a document's mean rating, 1 to 8."),
        *_not_forgotten(scores),
        *(_of_judge(scores, study.judge, study.judge_name) if study.judge else _no_judge()),
        Note("agreement", f"{_annotators(scores)} {agreement_sentence(scores.agreement)}"),
        *_elsewhere(findings, study),
    ]
    return (*told, *_warnings(study))


def notes_of_judge(findings: "Findings", has_scores: bool) -> tuple[Note, ...]:
    """Who judged, and how to get what is missing."""
    own = [note for note in findings.notes if note.kind == "judge"] if has_scores else []
    told = [*own, Note("ratings", f"No ratings of these results. {_ASK_PEOPLE}")]
    if has_scores:
        return (*_synthetic(findings), *told, *_limit_hit(findings), *_warnings(findings.human))
    return (*told, *_no_judge(), *_warnings(findings.human))


def _synthetic(findings: "Findings") -> Iterator[Note]:
    return (note for note in findings.table.notes if note.kind == "synthetic")


def _of_stand_ins(study: "StudyFindings") -> Iterator[Note]:
    if study.scores is not None and study.scores.stand_ins:
        yield Note("stand_ins", described(study.scores.stand_ins))


def _not_forgotten(scores: "StudyScores") -> Iterator[Note]:
    if any(cell.not_forgotten for cell in scores.cells):
        yield Note("not_forgotten", LIMIT_HIT, NOT_FORGOTTEN)


def _limit_hit(findings: "Findings") -> Iterator[Note]:
    if any(row.n_not_forgotten for group in findings.table.groups for row in group.rows):
        yield Note("not_forgotten", LIMIT_HIT, NOT_FORGOTTEN)


def _of_judge(scores: "StudyScores", judge: "JudgeComparison", name: str) -> Iterator[Note]:
    text = f"Judge, 0 to 10: {name}."
    yield Note("judge", f"{STAND_INS} {text}" if scores.stand_ins else text)
    told = [pearson_sentence("(model, method) means", judge.over_cells)]
    if judge.over_items is not None:
        told.append(pearson_sentence("single continuations", judge.over_items))
    if scores.stand_ins:
        told.append("The rules have terms in common: this r says nothing of people and judges.")
    yield Note("pearson", f"Human score and judge: {' '.join(told)}")
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


def _no_judge() -> Iterator[Note]:
    yield Note("judge", f"No judge's scores beside these. {_ASK_A_JUDGE}")


def _annotators(scores: "StudyScores") -> str:
    told = ", ".join(
        f"{one.annotator} {one.n}" + (f" ({one.n_missing} missing)" if one.n_missing else "")
        for one in scores.annotators
    )
    return f"{'Rules' if scores.stand_ins else 'Annotators'} and their ratings: {told}."


def _elsewhere(findings: "Findings", study: "StudyFindings") -> Iterator[Note]:
    """Cells whose continuations come from results that this report does not show."""
    keys = findings.by_key.keys()
    told = [
        f"{model}, {method}"
        for (model, method), drawn_from in study.result_keys.items()
        if not drawn_from <= keys
    ]
    if told:
        yield Note(
            "elsewhere", f"Drawn from results that are not in this report: {'; '.join(told)}."
        )


def _warnings(study: "StudyFindings | None") -> Iterator[Note]:
    warnings = study.warnings if study is not None else ()
    return (Note("left_out", f"{text[:1].upper()}{text[1:]}.") for text in warnings)
