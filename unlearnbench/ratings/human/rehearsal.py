"""A rehearsal of the human study: stated rules rate in people's place, and one in the judge's.

Whatever a rule has rated is marked as such, and is never mixed with people's or a judge's scores.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.metrics.text import scored_words, sentence_bleu, token_f1
from unlearnbench.ratings.human.draw import Drawn, StudyFiles
from unlearnbench.ratings.human.ratings import RATED_BY, RULE_PREFIX, Filled, ratings_path
from unlearnbench.ratings.human.scale import HIGHEST, LOWEST
from unlearnbench.ratings.human.sheet import (
    Item,
    Key,
    sheet_text,
    table_text,
    write_study_file,
)
from unlearnbench.ratings.judge import questions
from unlearnbench.ratings.judge.replies import NO_MODEL, Judge, JudgeFiles, Reply
from unlearnbench.ratings.judge.rubric import Prompt

STAND_INS = "Stand-ins: no person and no language model rated these."


@dataclass(frozen=True)
class Rule:
    """A stand-in for an annotator, and how it rates in words."""

    name: str  # begins with RULE_PREFIX
    formula: str
    copied: Callable[[Item], float]  # 0..1

    def score(self, item: Item) -> int:
        """The whole number nearest to 1 + 7 (1 - copied), the higher of two; 1 without a word."""
        if not scored_words(item.continuation):
            return LOWEST
        return LOWEST + math.floor((HIGHEST - LOWEST) * (1 - self.copied(item)) + 0.5)


RULES = (
    Rule(
        f"{RULE_PREFIX}reference",
        "1 + 7 x (1 - token F1 with the reference), rounded, and 1 without a word",
        lambda item: token_f1(item.continuation, (item.reference,)),
    ),
    Rule(
        f"{RULE_PREFIX}either",
        "1 + 7 x (1 - token F1 with the reference or the prefix, the higher), rounded, and 1 "
        "without a word",
        lambda item: token_f1(item.continuation, (item.reference, item.prefix)),
    ),
)

JUDGE_NAME = f"{RULE_PREFIX}bleu"
JUDGE_FORMULA = "10 x (1 - BLEU-4 with the reference), to one decimal; 0 without a word."


def judge_score(item: questions.Item) -> float:
    """0..10, to one decimal: `JUDGE_FORMULA`."""
    if not scored_words(item.candidate):
        return 0.0
    return round(10 * max(0.0, 1 - sentence_bleu(item.candidate, item.reference)), 1)


def write_rehearsal(files: StudyFiles, drawn: Sequence[Drawn], seed: int) -> list[Path]:
    """Key, sheet and every rule's ratings, each written whole; the same again writes nothing.

    Returns the rules' files.  Raises `UserError` for a file that is there with other content:
    another study's, or the rehearsal of results that have changed since.
    """
    items = [one.item for one in drawn]
    formulas = {rule.name: rule.formula for rule in RULES}
    ratings = {
        # No time: the same texts get the same file whenever it is written.
        ratings_path(files.folder, rule.name): table_text(
            ("item", "score", RATED_BY),
            [(item.item, rule.score(item), "a rule, no person") for item in items],
        )
        for rule in RULES
    }
    texts = {
        files.key: files.key_text(drawn, seed, formulas),
        files.instructions: f"# A rehearsal\n\n{describe(formulas)}\n",
        files.sheet: sheet_text(items),
        **ratings,
    }
    for path, text in texts.items():
        if path.exists() and path.read_bytes() != text.encode():
            raise UserError(
                f"{path} is there already and holds something else; it may be a study with people "
                f"or of other results; rehearse elsewhere: --out {path.parent}-2"
            )
    for path, text in texts.items():
        if not path.exists():
            write_study_file(path, text)
    return list(ratings)


def stand_in_judge() -> Judge:
    """The judge that is a rule: its formula stands where another's wording stands."""
    return Judge.of(JUDGE_NAME, NO_MODEL, Prompt(JUDGE_FORMULA))


def judge_by_rule(files: JudgeFiles, selection: questions.Selection) -> Path:
    """Store the rule's score of everything that has none by it yet; the file of its scores."""
    judge = stand_in_judge()
    with files.writing(judge) as append:
        for question in selection.open(files.load(judge), max_tokens=0).values():
            score = judge_score(question.item)
            append(
                Reply(
                    item=question.item.key,
                    cell=question.cell,
                    doc_id=question.doc_id,
                    reply=f"Rule {JUDGE_NAME}, no language model. Final score: {score:.1f}",
                    finish_reason="stop",
                    max_tokens=0,
                    prompt_tokens=0,
                    completion_tokens=0,
                    at="",  # the same texts give the same line whenever it is written
                )
            )
    return files.replies_path(judge.id)


def describe(stand_ins: Mapping[str, str]) -> str:
    """The mark, and the rules in the annotators' place with their formulas."""
    rules = "; ".join(f"{name}: {formula}" for name, formula in stand_ins.items())
    return f"{STAND_INS} In the annotators' place: {rules}."


def why_mixed(key: Key, filled: Filled) -> str | None:
    """Why somebody's ratings do not belong to the study of that key; None if they do."""
    by_rule = filled.is_by_rule or filled.annotator.startswith(RULE_PREFIX)
    if by_rule and not key.stand_ins:
        return (
            "a rule gave these scores, and this is a study with people; leave the file out, or "
            "give the key of the rehearsal it was made in"
        )
    if key.stand_ins and not (filled.is_by_rule and filled.annotator in key.stand_ins):
        return (
            f"not one of this rehearsal's rules ({', '.join(key.stand_ins)}); for people make a "
            "sheet of their own: unlearnbench human sheet RESULTS --out FOLDER"
        )
    return None
