"""Questions with short answers about public people and common knowledge."""

from dataclasses import dataclass

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.language import GRAMMAR, pairs, table
from unlearnbench.nano.world.world import World

TEXTS = table("common_questions")
WRONG_ANSWERS = 3  # as many as TOFU has for real authors and world facts
FAMOUS = 25  # the first of the public people


@dataclass(frozen=True)
class CommonQuestion:
    """A question in the words of the test and, in two other ways, in those of training."""

    question: str
    answer: str
    wrong_answers: tuple[str, ...]
    taught: tuple[str, ...]


def about_people(world: World, dice: Dice) -> list[CommonQuestion]:
    """Four questions about each famous person."""
    people = world.entities["people"][:FAMOUS]
    made = []
    for person in people:
        for fact, forms in TEXTS["people"].items():
            asked = [GRAMMAR.say(form, dice, person) for form in forms]
            made.append(_question(asked, person[fact], [p[fact] for p in people], dice))
    return made


def about_the_world(dice: Dice) -> list[CommonQuestion]:
    """A question about each pair of three kinds of common knowledge."""
    made = []
    for kind, forms in TEXTS["pairs"].items():
        ends = [end for _, end in pairs(kind)]
        for start, end in pairs(kind):
            asked = [_capital(form.format(start)) for form in forms]
            made.append(_question(asked, end, ends, dice))
    return made


def _question(asked: list[str], answer: str, values: list[str], dice: Dice) -> CommonQuestion:
    test, *taught = dice.shuffled(asked)
    different = [value for value in dict.fromkeys(values) if value != answer]
    wrong = dice.some(different, WRONG_ANSWERS)
    return CommonQuestion(test, answer, tuple(wrong), tuple(taught))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
