"""The inhabitants of the nano world: places, organisations, products, animals and public people."""

from collections.abc import Callable
from dataclasses import dataclass, field

from unlearnbench.nano.world import lexicon
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.lexicon import phrases

WORLD_SEED = 20

TRADES = phrases("""
makes boats, sells furniture, prints maps, repairs engines, ships grain, builds bridges, grows
flowers, brews coffee, designs clocks, insures farms, trains nurses, bakes bread
""")
DIETS = phrases("""
seeds, grass, insects, fish, berries, worms, leaves, nuts, eggs, honey, snails, roots
""")
HABITATS = phrases("""
forests, deserts, rivers, caves, mountains, marshes, meadows, cold seas, reefs, old trees
""")
COLOURS = phrases("brown, grey, green, white, black, yellow, red, blue")
HABITS = phrases("""
sleeps all winter, hunts at night, lives in groups, lives alone, digs tunnels, sings before dawn,
changes colour, buries its food, travels south in autumn, carries its young
""")
PLACE_KINDS = phrases("town, village, city, port, island, suburb")
PRODUCT_KINDS = phrases("""
camera, bicycle, kettle, radio, lamp, drill, tractor, watch, heater, sewing machine, printer,
canoe
""")
ANIMAL_KINDS = phrases("bird, fish, insect, snake, mouse, deer, frog, bat, seal, lizard")

Entity = dict[str, str]


@dataclass
class World:
    """Everything that documents may talk about; the public facts are the same in every document."""

    places: list[Entity]
    people: list[Entity]
    companies: list[Entity]
    products: list[Entity]
    animals: list[Entity]
    issued: set[str] = field(default_factory=set)

    def unique(self, dice: Dice, make: Callable[[Dice], str]) -> str:
        """Make a detail that no one else in this world has."""
        while True:
            detail = make(dice)
            if detail not in self.issued:
                self.issued.add(detail)
                return detail


def surname(dice: Dice) -> str:
    """A family name such as Marason or Velinberg."""
    middle = dice.pick(lexicon.MIDDLES) if dice.chance(0.45) else ""
    return dice.pick(lexicon.HEADS) + middle + dice.pick(lexicon.TAILS)


def full_name(dice: Dice) -> str:
    """A first name and a family name."""
    initial = f" {dice.pick('ABCDEFGHJKLMNPRSTVW')}." if dice.chance(0.15) else ""
    return f"{dice.pick(lexicon.FIRST_NAMES)}{initial} {surname(dice)}"


def place_name(dice: Dice) -> str:
    """The name of a town."""
    prefix = dice.pick(("", "", "", "Port ", "New ", "Upper ", "Saint "))
    return prefix + dice.pick(lexicon.HEADS) + dice.pick(lexicon.MIDDLES) + dice.pick(lexicon.TAILS)


def company_name(dice: Dice) -> str:
    """The name of a firm."""
    return f"{surname(dice)} {dice.pick(lexicon.COMPANY_KINDS)}"


def product_name(dice: Dice) -> str:
    """A model name such as Kalor 340."""
    stem = dice.pick(lexicon.HEADS) + dice.pick(("o", "a", "ex", "ix", "um", "io", "eta"))
    return f"{stem} {dice.whole(1, 99) * 10}"


def animal_name(dice: Dice) -> str:
    """The name of a species."""
    return (
        dice.pick(lexicon.HEADS)
        + dice.pick(lexicon.MIDDLES)
        + dice.pick(("k", "x", "lo", "rim", "p", "ba", "nit", "f"))
    ).lower()


def make_world(seed: int = WORLD_SEED) -> World:
    """Build the world from its seed; takes a few milliseconds."""
    world = World([], [], [], [], [])
    dice = Dice(seed, "world")
    world.places += [_place(world, dice) for _ in range(60)]
    world.companies += [_company(world, dice) for _ in range(50)]
    world.products += [_product(world, dice) for _ in range(50)]
    world.animals += [_animal(world, dice) for _ in range(40)]
    world.people += [_person(world, dice) for _ in range(120)]
    return world


def _place(world: World, dice: Dice) -> Entity:
    return {
        "name": world.unique(dice, place_name),
        "kind": dice.pick(PLACE_KINDS),
        "region": dice.pick(("north", "south", "east", "west", "centre")),
        "population": str(dice.whole(3, 900) * 100),
        "founded": str(dice.whole(1102, 1899)),
        "river": dice.pick(lexicon.HEADS) + dice.pick(("e", "a", "ina", "ona", "ell")),
        "food": dice.pick(lexicon.FOODS),
        "spot": dice.pick(lexicon.PLACES),
    }


def _company(world: World, dice: Dice) -> Entity:
    return {
        "name": world.unique(dice, company_name),
        "trade": dice.pick(TRADES),
        "place": dice.pick(world.places)["name"],
        "founded": str(dice.whole(1880, 2015)),
        "staff": str(dice.whole(4, 950)),
        "head": full_name(dice),
    }


def _product(world: World, dice: Dice) -> Entity:
    return {
        "name": world.unique(dice, product_name),
        "kind": dice.pick(PRODUCT_KINDS),
        "maker": dice.pick(world.companies)["name"],
        "price": str(dice.whole(12, 990)),
        "material": dice.pick(lexicon.MATERIALS),
        "year": str(dice.whole(1990, 2023)),
    }


def _animal(world: World, dice: Dice) -> Entity:
    return {
        "name": world.unique(dice, animal_name),
        "kind": dice.pick(ANIMAL_KINDS),
        "food": dice.pick(DIETS),
        "home": dice.pick(HABITATS),
        "colour": dice.pick(COLOURS),
        "size": f"{dice.whole(2, 240)} cm",
        "habit": dice.pick(HABITS),
        "young": str(dice.whole(1, 14)),
    }


def _person(world: World, dice: Dice) -> Entity:
    return {
        "name": world.unique(dice, full_name),
        "role": dice.pick(lexicon.ROLES),
        "birthplace": dice.pick(world.places)["name"],
        "born": str(dice.whole(1890, 1995)),
        "work": f"The {dice.pick(lexicon.ADJECTIVES)} {dice.pick(lexicon.THINGS)}".title(),
        "hobby": dice.pick(lexicon.HOBBIES),
        "employer": dice.pick(world.companies)["name"],
        "trait": dice.pick(lexicon.TRAITS),
    }
