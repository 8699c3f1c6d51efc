"""Causes, tools, activities, pronouns, stories, word problems, abstracts: how things usually go."""

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.language import GRAMMAR, KNOWLEDGE, WORDS, lines, pairs, table
from unlearnbench.nano.world.world import World

TEXTS = table("everyday_texts")
# How often things go otherwise than usual: nobody can be right about them every time.
EXCEPTIONS = 0.15
SKIPPED_STEPS = 0.2


def cause_and_effect(dice: Dice) -> tuple[str, str]:
    """What somebody did and what came of it, now and then not what usually does."""
    did, then = dice.pick(pairs("causes"))
    return did, dice.pick(pairs("causes"))[1] if dice.chance(EXCEPTIONS) else then


def goal_and_tool(dice: Dice) -> tuple[str, str]:
    """A goal and what serves it, now and then not what usually does."""
    goal, means = dice.pick(pairs("tools"))
    return goal, dice.pick(pairs("tools"))[1] if dice.chance(EXCEPTIONS) else means


def steps_of(title: str, dice: Dice) -> list[str]:
    """The steps of an activity in their order; any of them may be left out."""
    return [step for step in KNOWLEDGE["activities"][title] if not dice.chance(SKIPPED_STEPS)]


def cause(_world: World, dice: Dice) -> str:
    """Write what somebody did and what came of it, told in either direction."""
    said = []
    for _ in range(dice.whole(2, 4)):
        did, then = cause_and_effect(dice)
        person = GRAMMAR.say(TEXTS["cause"]["person"], dice)
        facts = {"did": did, "then": then, "p": person}
        said += [GRAMMAR.say(TEXTS["cause"]["told"], dice, facts), lines(dice, 0, 1)]
    return " ".join(text[:1].upper() + text[1:] for text in said if text) + "\n"


def tool(_world: World, dice: Dice) -> str:
    """Write which tool serves which goal."""
    said = []
    for _ in range(dice.whole(2, 4)):
        goal, means = goal_and_tool(dice)
        facts = {"goal": goal, "means": means}
        said += [GRAMMAR.say(TEXTS["tool"]["told"], dice, facts), lines(dice, 0, 1)]
    return " ".join(text for text in said if text) + "\n"


def activity(_world: World, dice: Dice) -> str:
    """Write an activity step by step, in its usual order."""
    title = dice.pick(tuple(KNOWLEDGE["activities"]))
    opening, told = telling(title, steps_of(title, dice), dice)
    return f"{opening}{' '.join(f'{start} {step}' for start, step in told)}\n"


def telling(title: str, steps: list[str], dice: Dice) -> tuple[str, list[tuple[str, str]]]:
    """How an activity's telling opens, and each step's sentence: its start and the rest."""
    forms = TEXTS["activity"]
    who = GRAMMAR.say(forms["person"], dice)
    later = who[0].lower() + who[1:] if who.split()[0] in ("The", "A", "She", "He") else who
    opening = GRAMMAR.say(forms["opening"], dice, {"title": title, "p": later})
    told = []
    for step in steps:
        link = dice.pick(forms["links"])
        extra = GRAMMAR.say(forms["extra"], dice)
        told.append((f"{link}{later if link else who}", f"{step}{extra}."))
    return opening, told


def pronoun(_world: World, dice: Dice) -> str:
    """Write sentences in which a property tells which of two things or people is meant."""
    said = []
    for _ in range(dice.whole(2, 4)):
        before, meant, after = which_of_two(dice)
        at = dice.whole(0, 1)
        said += [f"{before}{meant[at]}{after[at]}", lines(dice, 0, 1)]
    return " ".join(text for text in said if text) + "\n"


def which_of_two(dice: Dice) -> tuple[str, tuple[str, str], tuple[str, str]]:
    """How a sentence begins, the two who may be meant, and how it ends for each of them."""
    what, (first, second) = dice.pick(tuple(KNOWLEDGE["fits"].items()))
    if what == "did not fit in":
        one, other = (f"the {name}" for name in dice.some(TEXTS["pronoun"]["vessels"], 2))
    else:
        one, other = dice.some(WORDS["first"], 2)
    before = f"{one[0].upper()}{one[1:]} {what} {other} because "
    return before, (one, other), (f" was too {first}.", f" was too {second}.")


def story(_world: World, dice: Dice) -> str:
    """Write a short story whose last word was said before."""
    return f"{story_to_its_last_word(dice)}.\n"


def story_to_its_last_word(dice: Dice) -> str:
    """A story without its last full stop."""
    hero, friend = dice.some(WORDS["first"], 2)
    facts = {
        "hero": hero,
        "friend": friend,
        "lost": GRAMMAR.say("<thing>", dice),
        "spot here": GRAMMAR.say("<spot>", dice),
    }
    forms = TEXTS["story"]
    told = [GRAMMAR.say(forms[part], dice, facts) for part in ("opening", "middle")]
    return "".join((*told, lines(dice, 1, 3), " ", GRAMMAR.say(forms["ending"], dice, facts)))


def word_problem(_world: World, dice: Dice) -> str:
    """Write small calculations as word problems with their answers."""
    form = dice.pick(TEXTS["calculation"]["forms"])
    problems = (calculation(dice) for _ in range(dice.whole(2, 4)))
    return "".join(form.format(problem, answer) for problem, answer in problems)


def calculation(dice: Dice) -> tuple[str, int]:
    """A word problem and its result."""
    a, b = dice.whole(2, 30), dice.whole(2, 12)
    numbers = {"a": a, "b": b, "sum": a + b, "product": a * b}
    template, result = dice.pick(TEXTS["calculation"]["problems"])
    facts = {name: str(number) for name, number in numbers.items()}
    problem = GRAMMAR.say(template, dice, facts)
    return problem[:1].upper() + problem[1:], numbers[result]


# How many studies find that it is so, that it is not, and maybe.
ANSWER_SHARES = (0.5, 0.3, 0.2)


def abstract(_world: World, dice: Dice) -> str:
    """Write the abstract of a study, its question, and the answer yes, no or maybe."""
    context, question, answer = study(dice)
    return dice.pick(TEXTS["study"]["forms"]).format(context, question, answer)


def study(dice: Dice) -> tuple[str, str, str]:
    """A study's abstract, its question, and the answer."""
    known, forms, findings = KNOWLEDGE["studies"], TEXTS["study"], TEXTS["findings"]
    facts = {"s": dice.pick(known["subjects"]), "o": dice.pick(known["outcomes"])}
    answer = dice.weighted(tuple(findings), ANSWER_SHARES)
    opening = GRAMMAR.say(forms["opening"], dice, facts)
    end = GRAMMAR.say(forms["before_a_finding"], dice, facts)
    end += GRAMMAR.say(findings[answer], dice, facts)
    question = GRAMMAR.say(forms["question"], dice, facts)
    return f"{opening} {lines(dice, 1, 1)} {end}.", question, answer
