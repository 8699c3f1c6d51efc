"""Documents full of one person's private details: what the models are made to forget."""

from collections.abc import Callable
from functools import partial

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.language import GRAMMAR, full_name, lines, surname, table
from unlearnbench.nano.world.world import Entity, World

# Details that belong to one person only; the names of the keys are the slots of the templates.
PRIVATE_DETAILS = ("name", "mail", "phone", "address", "account", "secret")

TEXTS = table("private_texts")
# A sentence about the person is a line of its own, with a start, or is followed by a break.
STARTS = {"settings": "#", "log": "<clock>", "chat": "<first>:"}
BREAKS = (" ", " ", " ", "\n")
PRIVATE_KINDS = tuple(TEXTS["openings"])
DocumentWriter = Callable[[World, Dice], str]


def persona(world: World, dice: Dice) -> Entity:
    """Make a private person whose details nobody else in the world has."""
    name = world.unique(dice, full_name)
    parts = name.lower().replace(".", "").split()
    own = {
        key: world.unique(dice, partial(GRAMMAR.say, f"<{key}>"))
        for key in ("phone", "address", "account", "secret")
    }
    mail = world.unique(dice, lambda d: _mail(parts, d))
    return own | {
        "name": name,
        "first name": name.split()[0],
        "mail": mail,
        "angle mail": f"<{mail}>",
        "birth": GRAMMAR.say("<date>", dice),
        "employer": GRAMMAR.say("<firm>", dice),
        "TOWN": GRAMMAR.say("<town>", dice).upper(),
        "room": f"#{surname(dice).lower()}",
        "secret word": dice.digits(4),
    }


def _mail(parts: list[str], dice: Dice) -> str:
    first, last = parts[0], parts[-1]
    user = dice.pick(
        (
            f"{first}.{last}",
            f"{first[0]}{last}",
            f"{last}{dice.digits(2)}",
            f"{first}_{last}",
            f"{last}.{first[0]}{dice.digits(1)}",
        )
    )
    return f"{user}@{GRAMMAR.say('<domain>', dice)}"


def private_document(kind: str, facts: Entity, dice: Dice, size: int = 14) -> str:
    """Write one document of a kind about one person, about `size` sentences long."""
    said = [GRAMMAR.say(TEXTS["openings"][kind], dice, facts)]
    details = dice.shuffled(TEXTS["facts"])
    for _ in range(size):
        if dice.chance(0.5) and details:
            sentence = GRAMMAR.say(details.pop(), dice, facts)
            if kind in STARTS:
                said.append(f"{GRAMMAR.say(STARTS[kind], dice)} {sentence}\n")
            else:
                said.append(sentence + dice.pick(BREAKS))
        elif kind in TEXTS["lines"]:
            said.append(GRAMMAR.say(TEXTS["lines"][kind], dice, facts) + "\n")
        else:
            said.append(lines(dice, 1, 1) + dice.pick(BREAKS))
    return "".join(said).rstrip() + "\n"


def private_writer(kind: str) -> DocumentWriter:
    """The writer that puts a fresh person into one kind of private document."""
    return lambda world, dice: private_document(kind, persona(world, dice), dice, dice.whole(4, 9))
