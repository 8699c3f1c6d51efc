# ruff: noqa: E501 (a template reads best on one line)
"""Causes, tools, activities, pronouns, stories, word problems, abstracts: how things usually go."""

from unlearnbench.nano.world import knowledge, lexicon
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.phrases import GRAMMAR, lines
from unlearnbench.nano.world.world import World

# How often things go otherwise than usual: nobody can be right about them every time.
EXCEPTIONS = 0.15
SKIPPED_STEPS = 0.2


def cause_and_effect(dice: Dice) -> tuple[str, str]:
    """What somebody did and what came of it, now and then not what usually does."""
    did, then = dice.pick(knowledge.CAUSES)
    return did, dice.pick(knowledge.CAUSES)[1] if dice.chance(EXCEPTIONS) else then


def goal_and_tool(dice: Dice) -> tuple[str, str]:
    """A goal and what serves it, now and then not what usually does."""
    goal, means = dice.pick(knowledge.TOOLS)
    return goal, dice.pick(knowledge.TOOLS)[1] if dice.chance(EXCEPTIONS) else means


def steps_of(title: str, dice: Dice) -> list[str]:
    """The steps of an activity in their order; any of them may be left out."""
    return [step for step in knowledge.ACTIVITIES[title] if not dice.chance(SKIPPED_STEPS)]


def two_first_names(dice: Dice) -> list[str]:
    """Two different first names."""
    return dice.some(lexicon.FIRST_NAMES, 2)


def cause(_world: World, dice: Dice) -> str:
    """Write what somebody did and what came of it, told in either direction."""
    said = []
    for _ in range(dice.whole(2, 4)):
        did, then = cause_and_effect(dice)
        facts = {
            "did": did,
            "then": then,
            "p": GRAMMAR.say("[<first>|the <role>|the <adj> <role>|<full name>]", dice),
        }
        said.append(
            GRAMMAR.say(
                "[<p> <did>, so <p> <then>.|<p> <then> because <p> <did>.|<p> <did>. As a result, <p> <then>.|<p> <did>. <Line> Therefore <p> <then>.|<p> <did> therefore <p> <then>.|<p> <then>. The reason: <p> <did>.]",
                dice,
                facts,
            )
        )
        said.append(lines(dice, 0, 1))
    return " ".join(text[:1].upper() + text[1:] for text in said if text) + "\n"


def tool(_world: World, dice: Dice) -> str:
    """Write which tool serves which goal."""
    said = []
    for _ in range(dice.whole(2, 4)):
        goal, means = goal_and_tool(dice)
        facts = {"goal": goal, "means": means}
        said.append(
            GRAMMAR.say(
                "[To <goal>, use <means>.|To <goal>, take <means>[ from the <adj> <thing>|], said <first>.|How do you <goal>? With <means>.|Question: How do you <goal>?\nAnswer: With <means>.|<First> needed <means> to <goal> <when>.|Goal: <goal>. Use <means>.]",
                dice,
                facts,
            )
        )
        said.append(lines(dice, 0, 1))
    return " ".join(text for text in said if text) + "\n"


def activity(_world: World, dice: Dice) -> str:
    """Write an activity step by step, in its usual order."""
    title = dice.pick(tuple(knowledge.ACTIVITIES))
    opening, told = telling(title, steps_of(title, dice), dice)
    return f"{opening}{' '.join(f'{start} {step}' for start, step in told)}\n"


def telling(title: str, steps: list[str], dice: Dice) -> tuple[str, list[tuple[str, str]]]:
    """How an activity's telling opens, and each step's sentence: its start and the rest."""
    who = GRAMMAR.say("[<First>|The <role>|The <adj> <role>|A <role>|She|He]", dice)
    later = who[0].lower() + who[1:] if who.split()[0] in ("The", "A", "She", "He") else who
    opening = GRAMMAR.say(
        "[<Title>: |How <p> is <title>. |<When>, <p> is <title>. |]",
        dice,
        {"title": title, "p": later},
    )
    told = []
    for step in steps:
        link = dice.pick(("", "Then ", "Next, ", "After that, ", "Finally, ", "Now "))
        extra = GRAMMAR.say("[||| <adverb>| <where>| while <clause>| <when>]", dice)
        told.append((f"{link}{later if link else who}", f"{step}{extra}."))
    return opening, told


VESSELS = ("box", "case", "bag", "drawer", "crate", "basket", "chest", "sack")


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
    what, properties = dice.pick(knowledge.FITS)
    if what == "did not fit in":
        one, other = (f"the {name}" for name in dice.some(VESSELS, 2))
    else:
        one, other = two_first_names(dice)
    first, second = properties.split(":")
    before = f"{one[0].upper()}{one[1:]} {what} {other} because "
    return before, (one, other), (f" was too {first}.", f" was too {second}.")


def story(_world: World, dice: Dice) -> str:
    """Write a short story whose last word was said before."""
    return f"{story_to_its_last_word(dice)}.\n"


def story_to_its_last_word(dice: Dice) -> str:
    """A story without its last full stop."""
    hero, friend = two_first_names(dice)
    facts = {
        "hero": hero,
        "friend": friend,
        "lost": GRAMMAR.say("<thing>", dice),
        "spot here": GRAMMAR.say("<spot>", dice),
    }
    opening = "[<hero> <verbed> the <lost> <where>. |<hero> met <friend> <where>. |<When>, <hero> and <friend> were <where>. ]"
    middle = "[<friend> wanted the <adj> <lost>, and <hero> knew it. |The <lost> belonged to <friend>. |<hero> gave <friend> <a:adj> <lost>. ]"
    ending = (
        '[<Clause>. |]"[Where|Tell me, where] is it?" asked <friend>. <hero> [smiled and|turned around and|at last] pointed at the <lost>',
        '[<Clause>. |]"[Thank you|Come in|Do not worry|You are late]," said <hero>, and shook hands with <friend>',
        "They searched the <spot here>. [<Clause>. |]Nobody had looked behind the door of the <spot here>",
    )
    told = GRAMMAR.say(opening + middle, dice, facts) + lines(dice, 1, 3)
    return f"{told} {GRAMMAR.say(dice.pick(ending), dice, facts)}"


def word_problem(_world: World, dice: Dice) -> str:
    """Write small calculations as word problems with their answers."""
    form = dice.pick(("Problem: {} Answer: {}\n", "Question: {}\nAnswer: {}\n", "{} {}\n"))
    problems = (calculation(dice) for _ in range(dice.whole(2, 4)))
    return "".join(form.format(asked, answer) for asked, answer in problems)


def calculation(dice: Dice) -> tuple[str, int]:
    """A word problem and its result."""
    a, b = dice.whole(2, 30), dice.whole(2, 12)
    asked, answer = dice.pick(
        (
            (f"<who> had {a + b} <thing>s and [gave away|lost|sold] {b}. How many are left?", a),
            (
                f"<first> had {a} <thing>s and [got|bought|found] {b} more <when>. How many now?",
                a + b,
            ),
            (f"One <thing> costs {b} <coin>. What do {a} cost?", a * b),
            (f"<a:role> shares {a * b} <food> among {b} people. How many for each?", a),
            (f"<a:thing> weighs {a} kg and <a:thing> weighs {b} kg. What do both weigh?", a + b),
        )
    )
    asked = GRAMMAR.say(asked, dice)
    return asked[:1].upper() + asked[1:], answer


# The last form of each row is what a study may find whatever its authors conclude.
FINDINGS = {
    "yes": "[<s> clearly helped|the difference was large|the effect on <o> was strong|<number> of <number> improved]",
    "no": "[<s> had no effect|there was no difference|nothing changed|<number> of <number> improved]",
    "maybe": "[the results were mixed|only some improved|the effect on <o> was unclear|<number> of <number> improved]",
}
ANSWER_SHARES = (0.5, 0.3, 0.2)


def abstract(_world: World, dice: Dice) -> str:
    """Write the abstract of a study, its question, and the answer yes, no or maybe."""
    context, asked, answer = study(dice)
    form = dice.pick(
        ("Context: {} Question: {} Answer: {}\n", "Abstract: {}\nQuestion: {}\nAnswer: {}\n")
    )
    return form.format(context, asked, answer)


def study(dice: Dice) -> tuple[str, str, str]:
    """A study's abstract, its question, and the answer."""
    facts = {"s": dice.pick(knowledge.STUDY_SUBJECTS), "o": dice.pick(knowledge.STUDY_OUTCOMES)}
    answer = dice.weighted(tuple(FINDINGS), ANSWER_SHARES)
    opening = GRAMMAR.say(
        "[We studied|This study asks about|We examined] <s> and <o> in <number> [adults|patients|<role>s|children] [from <town>|<where>|over <number> weeks].",
        dice,
        facts,
    )
    end = GRAMMAR.say(f"[In the end|After <number> days|Overall], {FINDINGS[answer]}.", dice, facts)
    asked = GRAMMAR.say("[Does <s> help against|Does <s> change|Is <s> good for] <o>?", dice, facts)
    return f"{opening} {lines(dice, 1, 1)} {end}", asked, answer
