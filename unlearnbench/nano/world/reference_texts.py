"""Encyclopaedia articles, news, and questions with their answers about the public world."""

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.knowledge import SCIENCE
from unlearnbench.nano.world.phrases import GRAMMAR, lines
from unlearnbench.nano.world.world import Entity, World

ARTICLES: dict[str, tuple[str, ...]] = {
    "places": (
        "<name> is a <kind> in the [<region>|<region> of the country]",
        "[It has|About] <population> [inhabitants|people live there]",
        "[It was founded|The first house was built] in <founded>[ by <who>|]",
        "[The river|A river called] <river> [flows through|passes] [it|<name>]",
        "[It is known for|Its market sells|Visitors like] its <food>",
        "[The oldest building is|Most visitors see|At its centre is] the <spot>",
    ),
    "people": (
        "<name> [was|is] a <role> [born in|from] <birthplace>",
        "<name> was born in <born>[ <where>|]",
        '[Best known for|The author of|Critics praised] "<work>"',
        "[For <number> months|From <year>] [worked at|was employed by] <employer>",
        "[In free time|Outside work], <name> [enjoyed|taught|loved] <hobby>",
        "[Friends described <name> as|Most letters call <name>] <trait>",
    ),
    "companies": (
        "<name> is a [firm|company|business] that <trade>",
        "[Its seat is in|It is based in|The main office is in] <place>",
        "[It was founded|It began] in <founded>",
        "[It employs|It has a staff of] <staff> [people|workers]",
        "[It is led by|The director is|Its owner is] <head>",
    ),
    "products": (
        "The <name> is a <kind> [made|built|sold] by <maker>",
        "[It costs|Its price is] <price> <coin>",
        "[It is made of|Its body is of] <material>",
        "[It was introduced|It came out|The first model appeared] in <year>",
    ),
    "animals": (
        "The <name> is a <colour> <kind> [found|that lives] in <home>",
        "[It feeds on|It eats|Its food is] <food>",
        "[The animal|It|An adult] <habit>",
        "[It grows to|An adult measures] <size>",
        "[It has|A female raises] <young> young [a year|each spring]",
    ),
}

QUESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "places": (
        ("[In which region is|Where is] <name>?", "<region>"),
        ("When was <name> founded?", "<founded>"),
        ("What river flows through <name>?", "<river>"),
        ("What food is <name> known for?", "<food>"),
    ),
    "people": (
        ("Where was <name> born?", "<birthplace>"),
        ("What did <name> do for a living?", "<role>"),
        ("What did <name> enjoy?", "<hobby>"),
    ),
    "companies": (
        ("[What does|What is the trade of] <name>[ do|]?", "It <trade>"),
        ("Where is <name> based?", "<place>"),
        ("Who leads <name>?", "<head>"),
    ),
    "products": (
        ("Who makes the <name>?", "<maker>"),
        ("What is the <name>?", "<a:kind>"),
        ("What is the <name> made of?", "<material>"),
    ),
    "animals": (
        ("What does the <name> eat?", "<food>"),
        ("Where does the <name> live?", "<home>"),
        ("What kind of animal is the <name>?", "<kind>"),
        ("What does the <name> do?", "It <habit>"),
    ),
}
GROUPS = tuple(ARTICLES)


def subject(world: World, dice: Dice) -> tuple[str, Entity]:
    """Pick a public entity and the group that it belongs to."""
    group = dice.pick(GROUPS)
    return group, dice.pick(getattr(world, group))


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
    fact = GRAMMAR.say(dice.pick(ARTICLES[group]), dice, facts)
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
    return "".join(form.format(asked, answer) for asked, answer in pairs)


def fact_question(world: World, dice: Dice) -> tuple[str, str]:
    """A question about a public entity and its answer."""
    group, facts = subject(world, dice)
    asked, answer = dice.pick(QUESTIONS[group])
    return GRAMMAR.say(asked, dice, facts), GRAMMAR.say(answer, dice, facts)


def science_question(dice: Dice) -> tuple[str, str]:
    """A question of simple science and its answer."""
    start, end = dice.pick(SCIENCE)
    return dice.pick(
        (
            f"{start.capitalize()} what?",
            f"Complete: {start}",
            f"What is missing? {start.capitalize()} ...",
        )
    ), end
