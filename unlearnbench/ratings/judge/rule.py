"""A stand-in for the judge: a stated rule gives 0 to 10 where no language model can be asked.

It is stored as any judge is and marked as none: it fills the GPT column only where no language
model has judged, under a heading of its own, and counts in no s_z and s_m.
"""

from collections.abc import Mapping

from unlearnbench.ratings.judge.items import Item, Question
from unlearnbench.ratings.judge.records import NO_MODEL, Judge, Reply
from unlearnbench.ratings.judge.replies import JudgeFiles
from unlearnbench.ratings.judge.rubric import Prompt
from unlearnbench.ratings.judge.selection import Selection
from unlearnbench.ratings.text_quantities import evenness, independence, substance

NAME = "rule-bleu-entropy"
FORMULA = (
    "10 x substance x (1 - BLEU-4 with the reference) x evenness, to one decimal. Substance: the "
    "continuation's words over half the reference's number of words, at most 1. Evenness: the "
    "entropy of its words over log2 of their number."
)


def rule_score(item: Item) -> float:
    """0..10, to one decimal: `FORMULA`."""
    share = independence(item.candidate, item.reference) * evenness(item.candidate)
    return round(10 * substance(item.candidate, item.reference) * share, 1)


def stand_in_judge() -> Judge:
    """The judge that is this rule: its formula stands where another's wording stands."""
    return Judge.of(NAME, NO_MODEL, Prompt(FORMULA))


def judge_by_rule(files: JudgeFiles, selection: Selection) -> int:
    """Store the rule's score of everything that has none by it yet; how many those were."""
    judge = stand_in_judge()
    with files.writing(judge) as keep:
        questions = selection.open(files.load(judge), max_tokens=0)
        for reply in _replies(questions):
            keep(reply)
    return len(questions)


def _replies(questions: Mapping[str, Question]) -> list[Reply]:
    return [
        Reply(
            item=question.item.key,
            cell=question.cell,
            doc_id=question.doc_id,
            reply=f"Rule {NAME}, no language model. Final score: {rule_score(question.item):.1f}",
            finish_reason="stop",
            max_tokens=0,
            prompt_tokens=0,
            completion_tokens=0,
            at="",  # the same texts give the same line whenever it is written
        )
        for question in questions.values()
    ]
