"""The language of the nano world: its words, its sentences, what is common knowledge.

They lie in the TOML files beside this module. In their lists the order matters: the dice choose by
place.
"""

import tomllib
from pathlib import Path
from typing import Any

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.grammar import Grammar


def table(name: str) -> dict[str, Any]:
    """Read one of the files."""
    path = Path(__file__).with_name(f"{name}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


KNOWLEDGE = table("knowledge")


def pairs(kind: str) -> list[tuple[str, str]]:
    """What everyone knows of a kind that comes in pairs, such as causes and their effects."""
    return list(KNOWLEDGE[kind].items())


_words = table("words")
WORDS: dict[str, list[str]] = {kind: words.split() for kind, words in _words["words"].items()} | {
    kind: [" ".join(phrase.split()) for phrase in phrases.split(",")]
    for kind, phrases in _words["phrases"].items()
}
RULES: dict[str, str | list[str]] = table("sentences")


def surname(dice: Dice) -> str:
    """A family name such as Marason or Velinberg."""
    middle = dice.pick(WORDS["middle"]) if dice.chance(0.45) else ""
    return dice.pick(WORDS["stem"]) + middle + dice.pick(WORDS["ending"])


def full_name(dice: Dice) -> str:
    """A first name and a family name."""
    initial = f" {dice.pick('ABCDEFGHJKLMNPRSTVW')}." if dice.chance(0.15) else ""
    return f"{dice.pick(WORDS['first'])}{initial} {surname(dice)}"


def _species(dice: Dice) -> str:
    return GRAMMAR.say("<any:stem><any:middle>[k|x|lo|rim|p|ba|nit|f]", dice).lower()


def _number(dice: Dice) -> str:
    return str(dice.whole(2, 9) if dice.chance(0.3) else dice.whole(10, 480))


def _account(dice: Dice) -> str:
    letters = _signs("ABCDEFGHJKLMNPQRSTUVWXYZ", dice.whole(2, 3), dice)
    return letters + dice.pick("-/ ") + dice.digits(dice.whole(5, 7))


def _secret(dice: Dice) -> str:
    return _signs("abcdefghijkmnpqrstuvwxyz0123456789", dice.whole(10, 18), dice)


def _signs(alphabet: str, count: int, dice: Dice) -> str:
    return "".join(dice.pick(alphabet) for _ in range(count))


MAKERS = {
    "surname": surname,
    "full name": full_name,
    "species": _species,
    "number": _number,
    "account": _account,
    "secret": _secret,
    "domain": lambda dice: f"{surname(dice).lower()}.example",
    "hex": lambda dice: _signs("0123456789abcdef", 8, dice),
}
GRAMMAR = Grammar(WORDS, RULES, MAKERS)


def lines(dice: Dice, low: int, high: int, facts: dict[str, str] | None = None) -> str:
    """Between `low` and `high` free sentences, joined by blanks."""
    return " ".join(GRAMMAR.say("<line>", dice, facts) for _ in range(dice.whole(low, high)))
