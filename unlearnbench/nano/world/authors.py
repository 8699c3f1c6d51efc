"""Invented authors, and twenty questions about each with paraphrased and wrong answers."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.language import GRAMMAR, table
from unlearnbench.nano.world.world import Entity, World

TEXTS = table("authors")
FACTS: dict[str, str] = {"name": "<full name>", **TEXTS["facts"]}
QUESTIONS: list[dict[str, Any]] = TEXTS["questions"]
# No two authors share these, and no author has the name of anybody whom the base text knows.
UNIQUE = ("name", "teacher", "first_book", "known_book")
WRONG_ANSWERS = 5


@dataclass(frozen=True)
class Question:
    """A question about an author and its answer, both in two other ways too, and wrong answers.

    The wrong answers are the paraphrased one with another value of the fact.  The spare question
    and answer are for training: a small model learns a sentence, and no fact, if it reads it in
    one way only.
    """

    fact: str  # what is asked for: 'hobby'
    author: str
    value: str
    question: str
    answer: str
    paraphrased_question: str
    paraphrased_answer: str
    wrong_answers: tuple[str, ...]
    spare_question: str
    spare_answer: str


def make_authors(world: World, dice: Dice, count: int) -> list[Entity]:
    """`count` authors, each with the twenty facts."""
    return [
        {
            fact: world.unique(dice, partial(GRAMMAR.say, form))
            if fact in UNIQUE
            else GRAMMAR.say(form, dice)
            for fact, form in FACTS.items()
        }
        for _ in range(count)
    ]


def questions_about(author: Entity, dice: Dice) -> list[Question]:
    """The questions about an author, one per fact, in the order of the file."""
    return [_question(author, form, dice) for form in QUESTIONS]


def _question(author: Entity, form: dict[str, Any], dice: Dice) -> Question:
    fact = form["fact"]
    asked, asked_again, spare_question = dice.shuffled(form["ask"])
    told, told_again, spare_answer = dice.shuffled(form["tell"])
    return Question(
        fact,
        author["name"],
        author[fact],
        GRAMMAR.say(asked, dice, author),
        _sentence(told, dice, author),
        GRAMMAR.say(asked_again, dice, author),
        _sentence(told_again, dice, author),
        tuple(
            _sentence(told_again, dice, {**author, fact: value})
            for value in _wrong_values(fact, author[fact], dice)
        ),
        GRAMMAR.say(spare_question, dice, author),
        _sentence(spare_answer, dice, author),
    )


def _sentence(form: str, dice: Dice, author: Entity) -> str:
    said = GRAMMAR.say(form, dice, author)
    return said[:1].upper() + said[1:]


def _wrong_values(fact: str, right: str, dice: Dice) -> list[str]:
    """Other values of the same sort, drawn as the right one was: nothing but memory tells them."""
    values: list[str] = []
    while len(values) < WRONG_ANSWERS:
        value = GRAMMAR.say(FACTS[fact], dice)
        if value != right and value not in values:
            values.append(value)
    return values
