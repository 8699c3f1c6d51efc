"""The inhabitants of the nano world: places, organisations, products, animals and public people."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.grammar import Grammar
from unlearnbench.nano.world.language import MAKERS, RULES, WORDS, table

WORLD_SEED = 20
Entity = dict[str, str]


@dataclass
class World:
    """Everything that documents may talk about; the public facts are the same in every document."""

    entities: dict[str, list[Entity]] = field(default_factory=dict)  # by group: 'places', 'people'
    issued: set[str] = field(default_factory=set)

    def unique(self, dice: Dice, make: Callable[[Dice], str]) -> str:
        """Make a detail that no one else in this world has."""
        while True:
            detail = make(dice)
            if detail not in self.issued:
                self.issued.add(detail)
                return detail


def make_world(seed: int = WORLD_SEED) -> World:
    """Build the world from its seed; takes a few milliseconds."""
    world, dice, words = World(), Dice(seed, "world"), dict(WORDS)
    grammar = Grammar(words, RULES, MAKERS)
    for group, facts in table("entities").items():
        count, name = facts.pop("count"), facts.pop("name")
        made = world.entities[group] = []
        for _ in range(count):
            entity = {"name": world.unique(dice, partial(grammar.say, name))}
            made.append(entity | {fact: grammar.say(of, dice) for fact, of in facts.items()})
        words[group] = [entity["name"] for entity in made]
    return world
