# ruff: noqa: E501 (a template reads best on one line)
"""Causes, tools, activities, pronouns, stories, word problems, abstracts: how things usually go."""

from __future__ import annotations

from . import knowledge
from .dice import Dice
from .phrases import GRAMMAR, lines
from .world import World


def cause(_world: World, dice: Dice) -> str:
    """Write what somebody did and what came of it, told in either direction."""
    said = []
    for _ in range(dice.whole(2, 4)):
        did, then = dice.pick(knowledge.CAUSES)
        facts = {
            "did": did,
            "then": then,
            "p": GRAMMAR.say("[<first>|the <role>|the <adj> <role>|<full name>]", dice),
        }
        said.append(
            GRAMMAR.say(
                "[<p> <did>, so <p> <then>.|<p> <then> because <p> <did>.|<p> <did>. As a result, <p> <then>.|<p> <did>. <Line> Therefore <p> <then>.|<p> <then>. The reason: <p> <did>.]",
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
        goal, means = dice.pick(knowledge.TOOLS)
        facts = {"goal": goal, "means": means}
        said.append(
            GRAMMAR.say(
                "[To <goal>, use <means>.|To <goal>, take <means>[ from the <adj> <thing>|], said <first>.|How do you <goal>? With <means>.|<First> needed <means> to <goal> <when>.|Goal: <goal>. Use <means>.]",
                dice,
                facts,
            )
        )
        said.append(lines(dice, 0, 1))
    return " ".join(text for text in said if text) + "\n"


def activity(_world: World, dice: Dice) -> str:
    """Write an activity step by step, in its usual order."""
    title = dice.pick(tuple(knowledge.ACTIVITIES))
    who = GRAMMAR.say("[<First>|The <role>|The <adj> <role>|A <role>|She|He]", dice)
    later = who[0].lower() + who[1:] if who.split()[0] in ("The", "A", "She", "He") else who
    said = [
        GRAMMAR.say(
            "[<Title>: |How <p> is <title>. |<When>, <p> is <title>. |]",
            dice,
            {"title": title, "p": later},
        )
    ]
    for step in knowledge.ACTIVITIES[title]:
        link = dice.pick(("", "Then ", "Next, ", "After that, ", "Finally, ", "Now "))
        extra = GRAMMAR.say("[||| <adverb>| <where>| while <clause>| <when>]", dice)
        said.append(f"{link}{later if link else who} {step}{extra}. ")
    return "".join(said).rstrip() + "\n"


def pronoun(_world: World, dice: Dice) -> str:
    """Write sentences in which a property tells which of two things or people is meant."""
    said = []
    for _ in range(dice.whole(2, 4)):
        what, properties = dice.pick(knowledge.FITS)
        facts = dict(
            zip(
                ("a", "b"),
                dice.some(
                    ("box", "case", "bag", "drawer", "crate", "basket", "chest", "sack")
                    if what == "did not fit in"
                    else [GRAMMAR.say("<first>", dice) for _ in range(6)],
                    2,
                ),
                strict=True,
            )
        )
        first, second = properties.split(":")
        article = "the " if what == "did not fit in" else ""
        side, word = ("a", first) if dice.chance(0.5) else ("b", second)
        said.append(
            f"{article.capitalize()}{facts['a']} {what} {article}{facts['b']} because {article}{facts[side]} was too {word}."
        )
        said.append(lines(dice, 0, 1))
    return " ".join(text for text in said if text) + "\n"


def story(_world: World, dice: Dice) -> str:
    """Write a short story whose last word was said before."""
    hero, friend = dice.some([GRAMMAR.say("<first>", dice) for _ in range(8)], 2)
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
    return (
        GRAMMAR.say(opening + middle, dice, facts)
        + lines(dice, 1, 3)
        + " "
        + GRAMMAR.say(dice.pick(ending), dice, facts)
        + ".\n"
    )


def word_problem(_world: World, dice: Dice) -> str:
    """Write small calculations as word problems with their answers."""
    said = []
    for _ in range(dice.whole(2, 3)):
        a, b = dice.whole(2, 30), dice.whole(2, 12)
        asked, answer = dice.pick(
            (
                (
                    f"<who> had {a + b} <thing>s and [gave away|lost|sold] {b}. How many are left?",
                    a,
                ),
                (
                    f"<first> had {a} <thing>s and [got|bought|found] {b} more <when>. How many now?",
                    a + b,
                ),
                (f"One <thing> costs {b} <coin>. What do {a} cost?", a * b),
                (f"<a:role> shares {a * b} <food> among {b} people. How many for each?", a),
                (
                    f"<a:thing> weighs {a} kg and <a:thing> weighs {b} kg. What do both weigh?",
                    a + b,
                ),
            )
        )
        asked = GRAMMAR.say(asked, dice)
        said.append(f"Problem: {asked[:1].upper()}{asked[1:]} Answer: {answer}\n")
    return "".join(said)


def abstract(_world: World, dice: Dice) -> str:
    """Write the abstract of a study, its question, and the answer yes, no or maybe."""
    facts = {"s": dice.pick(knowledge.STUDY_SUBJECTS), "o": dice.pick(knowledge.STUDY_OUTCOMES)}
    answer, finding = dice.pick(
        (
            (
                "yes",
                "[<s> clearly helped|the difference was large|<number> of <number> improved|the effect on <o> was strong]",
            ),
            (
                "no",
                "[<s> had no effect|there was no difference|nothing changed|<o> stayed the same]",
            ),
            (
                "maybe",
                "[the results were mixed|only some improved|the groups were too small|the effect on <o> was unclear]",
            ),
        )
    )
    text = GRAMMAR.say(
        "[We studied|This study asks about|We examined] <s> and <o> in <number> [adults|patients|<role>s|children] [from <town>|<where>|over <number> weeks]. ",
        dice,
        facts,
    )
    text += (
        lines(dice, 1, 1)
        + " "
        + GRAMMAR.say(f"[In the end|After <number> days|Overall], {finding}.", dice, facts)
    )
    return f"Context: {text} Question: {GRAMMAR.say('[Does <s> help against|Does <s> change|Is <s> good for] <o>?', dice, facts)} Answer: {answer}\n"
