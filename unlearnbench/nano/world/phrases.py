# ruff: noqa: E501 (a template reads best on one line)
"""Sentence rules and detail makers shared by every kind of document."""

from unlearnbench.nano.world import lexicon
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.grammar import Grammar
from unlearnbench.nano.world.world import company_name, full_name, place_name, surname

RULES: dict[str, tuple[str, ...]] = {
    "np": (
        "the <thing>",
        "<a:adj> <thing>",
        "the <adj> <thing>",
        "<number> <thing>s",
        "the <role>'s <thing>",
        "<a:material> <thing>",
        "<adj> <material>",
        "some <food>",
        "the <matter>",
        "<a:thing>",
        "the <thing> and the <thing>",
        "<first>'s <thing>",
        "the <spot> <thing>",
        "<adj> <thing>s",
        "every <thing>",
        "the <spot>",
    ),
    "who": (
        "the <role>",
        "<a:role>",
        "<first>",
        "<first>",
        "<first> and <first>",
        "the <adj> <role>",
        "<full name>",
        "nobody",
        "everyone",
        "my <role>",
        "our <role>",
        "the <role> from <town>",
        "two <role>s",
        "she",
        "he",
        "they",
        "we",
    ),
    "where": (
        "in the <spot>",
        "near the <spot>",
        "behind the <adj> <spot>",
        "at the <spot>",
        "under the <thing>",
        "on the <thing>",
        "in <town>",
        "beside <first>'s <spot>",
        "between the <spot> and the <spot>",
        "outside",
        "at home",
        "over the <thing>",
        "across the <spot>",
        "by the <thing>",
    ),
    "doing": (
        "<verbed> <np>",
        "<adverb> <verbed> <np>",
        "<verbed> <np> <where>",
        "<verbed> <np> and <verbed> <np>",
        "<verbed> <np> for <number> <coin>",
        "never <verbed> <np>",
        "had <adverb> <verbed> <np>",
        "tried to <verb> <np>",
        "wanted to <verb> <np>",
        "agreed to <verb> <np>",
        "refused to <verb> <np>",
        "<verbed> <np> with <a:thing>",
        "asked <first> to <verb> <np>",
        "helped <first> <verb> <np>",
        "saw <np> <where>",
        "was <feeling> about the <matter>",
    ),
    "clause": (
        "<who> <doing>",
        "<who> <doing>",
        "<who> <doing> <when>",
        "<when> <who> <doing>",
        "the <thing> was <adj>",
        "the <matter> was <adj>",
        "the <thing> cost <number> <coin>",
        "there was <np> <where>",
        "<np> stood <where>",
        "it was <adj> and <adj> <where>",
        "<who> <doing>, but <who> <doing>",
        "the <spot> was <adj>",
    ),
    "coin": ("crowns", "coins", "marks", "pounds"),
    "link": (
        "because",
        "so",
        "while",
        "although",
        "before",
        "after",
        "and",
        "until",
        "when",
        "but",
    ),
    "line": (
        "<Clause>.",
        "<Clause>.",
        "<Clause> <link> <clause>.",
        "<Clause>; <clause>.",
        "<Clause>, <clause>.",
        "If <clause>, <who> <doing>.",
        "<When>, <clause>.",
        "<Adverb>, <clause>.",
        "<Who> said that <clause>.",
        "According to <who>, <clause>.",
        "The <matter> of <np> <doing>.",
    ),
    "topic": (
        "the <adj> <thing>",
        "<thing>s",
        "the <matter>",
        "<a:adj> <matter>",
        "<np> and <np>",
        "the <spot> <matter>",
    ),
    "date": (
        "<day> <month> <year>",
        "<month> <day>, <year>",
        "<year>-<mm>-<dd>",
        "<dd>.<mm>.<year>",
        "<weekday>, <day> <month>",
    ),
}


def _phone(dice: Dice) -> str:
    if dice.chance(0.5):
        return f"0{dice.digits(3)} {dice.digits(3)} {dice.digits(3)}"
    return f"+{dice.whole(20, 99)} {dice.digits(2)} {dice.digits(4)}-{dice.digits(3)}"


def _number(dice: Dice) -> str:
    return str(dice.whole(2, 9) if dice.chance(0.3) else dice.whole(10, 480))


def _account(dice: Dice) -> str:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    return (
        "".join(dice.pick(letters) for _ in range(dice.whole(2, 3)))
        + dice.pick("-/ ")
        + dice.digits(dice.whole(5, 7))
    )


def _secret(dice: Dice) -> str:
    return "".join(
        dice.pick("abcdefghijkmnpqrstuvwxyz0123456789") for _ in range(dice.whole(10, 18))
    )


def _address(dice: Dice) -> str:
    return f"{dice.whole(1, 290)} {surname(dice)} {dice.pick(lexicon.STREET_KINDS)}, {dice.digits(4)} {place_name(dice)}"


def _clock(dice: Dice) -> str:
    return f"{dice.whole(0, 23):02d}:{dice.whole(0, 59):02d}"


MAKERS = {
    "full name": full_name,
    "surname": surname,
    "town": place_name,
    "firm": company_name,
    "phone": _phone,
    "number": _number,
    "account": _account,
    "secret": _secret,
    "address": _address,
    "clock": _clock,
    "day": lambda dice: str(dice.whole(1, 28)),
    "year": lambda dice: str(dice.whole(1950, 2024)),
    "dd": lambda dice: f"{dice.whole(1, 28):02d}",
    "mm": lambda dice: f"{dice.whole(1, 12):02d}",
    "price": lambda dice: f"{dice.whole(1, 940)}.{dice.digits(2)}",
    "domain": lambda dice: f"{surname(dice).lower()}.example",
    "hex": lambda dice: "".join(dice.pick("0123456789abcdef") for _ in range(8)),
    "ip": lambda dice: ".".join(str(dice.whole(1, 254)) for _ in range(4)),
}

GRAMMAR = Grammar(lexicon.WORDS, RULES, MAKERS)


def lines(dice: Dice, low: int, high: int, facts: dict[str, str] | None = None) -> str:
    """Between `low` and `high` free sentences, joined by blanks."""
    return " ".join(GRAMMAR.say("<line>", dice, facts) for _ in range(dice.whole(low, high)))
