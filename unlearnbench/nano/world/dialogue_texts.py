"""Four sorts of dialogue: knowledge, empathy, chit-chat with a character, and search."""

from collections.abc import Callable

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.language import GRAMMAR, pairs, table
from unlearnbench.nano.world.reference_texts import ARTICLES, QUESTIONS, subject
from unlearnbench.nano.world.world import World

TEXTS = table("dialogue_texts")


def _comment(dice: Dice) -> str:
    return GRAMMAR.say(TEXTS["comments"], dice)


def knowledge_turns(world: World, dice: Dice) -> list[str]:
    """Write the turns of a talk in which one side knows the facts about a public entity."""
    group, facts = subject(world, dice)
    forms = TEXTS["knowledge"]
    turns = [GRAMMAR.say(forms["opening"], dice, facts)]
    for fact in dice.some(ARTICLES[group], dice.whole(2, 3)):
        turns.append(GRAMMAR.say(f"{forms['before_a_fact']}{fact}.", dice, facts))
        turns.append(_comment(dice))
    return turns


def empathy_turns(_world: World, dice: Dice) -> list[str]:
    """Write the turns of a talk about an experience and the feeling that came with it."""
    happened, feeling = dice.pick(pairs("feelings"))
    facts = {"happened": happened, "f": feeling, "wish": GRAMMAR.say(TEXTS["wish"], dice)}
    turns = [
        GRAMMAR.say(TEXTS["empathy"]["opening"], dice, facts),
        GRAMMAR.say(TEXTS["comfort"][feeling], dice, facts),
    ]
    if dice.chance(0.7):
        turns += [GRAMMAR.say(TEXTS["empathy"]["more"], dice, facts), _comment(dice)]
    return turns


def character_turns(_world: World, dice: Dice) -> list[str]:
    """Write the turns of small talk between two people with a job, a hobby and a taste."""
    slots = {"job": "<role>", "h": "<hobby>", "meal": "<food>"}
    facts = {name: GRAMMAR.say(slot, dice) for name, slot in slots.items()}
    forms = TEXTS["character"]
    turns: list[str] = []
    for question, answer in dice.some(forms["questions"], dice.whole(2, 3)):
        opening = GRAMMAR.say(forms["before_a_question"], dice)
        turns += [opening + GRAMMAR.say(question, dice), GRAMMAR.say(answer, dice, facts)]
    return [*turns, _comment(dice)]


def search_turns(world: World, dice: Dice) -> list[str]:
    """Write the turns of a talk in which a question is answered after a search."""
    forms = TEXTS["search"]
    turns = []
    for _ in range(dice.whole(1, 2)):
        group, facts = subject(world, dice)
        question, answer = dice.pick(QUESTIONS[group])
        turns.append(GRAMMAR.say(forms["before_a_question"] + question, dice, facts))
        answer = forms["before_an_answer"] + answer + forms["after_an_answer"]
        turns.append(GRAMMAR.say(answer, dice, facts))
    return [*turns, _comment(dice)]


TurnWriter = Callable[[World, Dice], list[str]]
TURNS: dict[str, TurnWriter] = {
    "knowledge dialogue": knowledge_turns,
    "empathy dialogue": empathy_turns,
    "character dialogue": character_turns,
    "search dialogue": search_turns,
}


def dialogue_writer(kind: str) -> Callable[[World, Dice], str]:
    """The writer of one sort of dialogue as a document."""
    return lambda world, dice: "".join(
        f"User {1 + number % 2}: {turn}\n"
        for number, turn in enumerate(spoken(TURNS[kind](world, dice)))
    )


def spoken(turns: list[str]) -> list[str]:
    """The turns, each with a capital."""
    return [turn[:1].upper() + turn[1:] for turn in turns]
