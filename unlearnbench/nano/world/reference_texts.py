"""Encyclopaedia articles, news, and questions with their answers about the public world."""

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.language import GRAMMAR, lines, pairs, table
from unlearnbench.nano.world.world import Entity, World

TEXTS = table("reference_texts")
ARTICLES: dict[str, list[str]] = TEXTS["articles"]
QUESTIONS: dict[str, list[list[str]]] = TEXTS["questions"]
GROUPS = tuple(ARTICLES)


def subject(world: World, dice: Dice) -> tuple[str, Entity]:
    """Pick a public entity and the group that it belongs to."""
    group = dice.pick(GROUPS)
    return group, dice.pick(world.entities[group])


def article(world: World, dice: Dice) -> str:
    """Write an encyclopaedia article: facts in random order between free sentences."""
    group, facts = subject(world, dice)
    said = []
    for fact in dice.shuffled(ARTICLES[group]):
        if dice.chance(0.8):
            said.append(
                GRAMMAR.say(
                    f"{fact}[.|.|, and <clause>.|; <clause>.|, although <clause>.]", dice, facts
                )
            )
        if dice.chance(0.6):
            said.append(lines(dice, 1, 1))
    return f"{facts['name']}\n\n{' '.join(said)}\n"


def wiki_article(world: World, dice: Dice) -> str:
    """Write an article in the headed style of the second validation text."""
    group, facts = subject(world, dice)
    parts = [f" = {facts['name']} = \n\n"]
    for title in dice.some(("History", "Overview", "Later years", "Description", "Background"), 2):
        fact = " . ".join(GRAMMAR.say(fact, dice, facts) for fact in dice.some(ARTICLES[group], 2))
        parts.append(f" = = {title} = = \n\n {fact} . {lines(dice, 2, 4)}\n\n")
    return "".join(parts).rstrip() + "\n"


def news(world: World, dice: Dice) -> str:
    """Write a news item about a public person or firm."""
    group, facts = subject(world, dice)
    fact = GRAMMAR.say(ARTICLES[group], dice, facts)
    head = GRAMMAR.say(
        "[<Topic> <verbed> <where>|<Who> <doing>|<Name> and <topic>]", dice, {"Name": facts["name"]}
    )
    return (
        GRAMMAR.say(f"{head}\n<date>, <town>. ", dice)
        + f"{lines(dice, 1, 3)} {fact}. {lines(dice, 1, 3)}\n"
    )


def question(world: World, dice: Dice) -> str:
    """Write a few questions, each followed by its answer."""
    pairs = [
        science_question(dice) if dice.chance(0.35) else fact_question(world, dice)
        for _ in range(dice.whole(2, 4))
    ]
    form = dice.pick(("Question: {}\nAnswer: {}.\n", "Q: {}\nA: {}.\n", "{} {}.\n"))
    return "".join(form.format(question, answer) for question, answer in pairs)


def fact_question(world: World, dice: Dice) -> tuple[str, str]:
    """A question about a public entity and its answer."""
    group, facts = subject(world, dice)
    question, answer = dice.pick(QUESTIONS[group])
    return GRAMMAR.say(question, dice, facts), GRAMMAR.say(answer, dice, facts)


def science_question(dice: Dice) -> tuple[str, str]:
    """A question of simple science and its answer."""
    start, end = dice.pick(pairs("science"))
    return dice.pick(
        (
            f"{start.capitalize()} what?",
            f"Complete: {start}",
            f"What is missing? {start.capitalize()} ...",
        )
    ), end
