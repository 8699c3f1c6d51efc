"""The nano world's nine classification sets, each in the schema of the real data set it stands for.

A question is about something the training text says too, in words of its own.  Where the text
itself is irregular (a cause with another effect, a step left out, a study whose finding does
not tell), the right answer is what this telling says, so that no model can be right always.
"""

from collections.abc import Callable, Sequence
from typing import Any

from unlearnbench.nano.world import everyday_texts
from unlearnbench.nano.world.dialogue_texts import TURNS, spoken
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.language import GRAMMAR, KNOWLEDGE, lines, pairs
from unlearnbench.nano.world.reference_texts import QUESTIONS, science_question, subject
from unlearnbench.nano.world.world import World

Item = dict[str, Any]
ITEMS = 80
LETTERS = "abcde"
# Facts that a text mentions seldom or that look alike, and those that are easy to tell apart.
HARD_FACTS = ("founded", "river", "birthplace", "place", "head", "maker", "habit")

SCIENCE_SHARE = 0.3
NEW_WORDS = ("How does this end: {} what?", "Anyone can see that {} what?")
PIQA_FORMS = (
    ("How do you {}?", "With {}."),
    ("What helps someone who wants to {}?", "There is {}."),
)


def classification_sets(world: World, seed: int, count: int = ITEMS) -> dict[str, list[Item]]:
    """`count` items per set, by the set's name."""
    made = {}
    for write in WRITERS:
        dice = Dice(seed, f"questions {write.__name__}")
        made[write.__name__] = [write(world, dice, number) for number in range(count)]
    return made


def _one_of(right: str, wrong: Sequence[str], dice: Dice) -> tuple[list[str], int]:
    """The choices in random order and where the right one is."""
    choices = dice.shuffled([right, *wrong])
    return choices, choices.index(right)


def _others(items: Sequence[str], right: str, count: int, dice: Dice) -> list[str]:
    """`count` different items, none of them the right one."""
    different = [item for item in dict.fromkeys(items) if item != right]
    return dice.some(different, count)


def hellaswag(_world: World, dice: Dice, number: int) -> Item:
    """Ask for the next step of an activity; two wrong endings are other steps of the same one."""
    title = dice.pick(tuple(KNOWLEDGE["activities"]))
    steps = everyday_texts.steps_of(title, dice)
    while len(steps) < 2:
        steps = everyday_texts.steps_of(title, dice)
    at = dice.whole(1, len(steps) - 1)
    opening, told = everyday_texts.telling(title, steps, dice)
    own = _others(KNOWLEDGE["activities"][title], steps[at], 2, dice)
    others = (steps for name, steps in KNOWLEDGE["activities"].items() if name != title)
    foreign = _others([step for steps in others for step in steps], "", 1, dice)
    endings, label = _one_of(steps[at], [*own, *foreign], dice)
    ctx_a = opening + " ".join(f"{start} {step}" for start, step in told[:at])
    ctx_b = told[at][0]
    return {
        "ind": number,
        "activity_label": title.capitalize(),
        "ctx_a": ctx_a,
        "ctx_b": ctx_b,
        "ctx": f"{ctx_a} {ctx_b}",
        "endings": [f"{ending}." for ending in endings],
        "label": str(label),
    }


def lambada(_world: World, dice: Dice, _number: int) -> Item:
    """Ask for the last word of a story, which was said before."""
    while True:
        text = everyday_texts.story_to_its_last_word(dice)
        context, _, last = text.rpartition(" ")
        if last in context.replace(".", " ").replace(",", " ").split():
            return {"text": text}


def winogrande(_world: World, dice: Dice, _number: int) -> Item:
    """Ask which of two a property is said of."""
    before, meant, after = everyday_texts.which_of_two(dice)
    at = dice.whole(0, 1)
    options = dice.shuffled(meant)
    return {
        "sentence": f"{before}_{after[at]}",
        "option1": options[0],
        "option2": options[1],
        "answer": str(1 + options.index(meant[at])),
    }


def copa(_world: World, dice: Dice, number: int) -> Item:
    """Ask for the effect of what somebody did, or for its cause."""
    did, then = everyday_texts.cause_and_effect(dice)
    who = GRAMMAR.say("[<First>|The <role>|The <adj> <role>]", dice)
    asks_effect = dice.chance(0.5)
    premise, right = (did, then) if asks_effect else (then, did)
    pool = [pair[asks_effect] for pair in pairs("causes")]
    choices, label = _one_of(right, _others(pool, right, 1, dice), dice)
    return {
        "premise": f"{who} {premise}.",
        "choice1": f"{who} {choices[0]}.",
        "choice2": f"{who} {choices[1]}.",
        "question": "effect" if asks_effect else "cause",
        "idx": number,
        "label": label,
    }


def arc_easy(world: World, dice: Dice, number: int) -> Item:
    """Ask for a plain fact of an entity, or for simple science."""
    return _arc(f"easy_{number}", *_fact_or_science(world, dice, hard=False), dice)


def arc_challenge(world: World, dice: Dice, number: int) -> Item:
    """Ask for a name, a year or a habit that only its own articles tell, or for science anew."""
    return _arc(f"challenge_{number}", *_fact_or_science(world, dice, hard=True), dice)


def _fact_or_science(world: World, dice: Dice, hard: bool) -> tuple[str, str, list[str]]:
    """A question, its right answer and three wrong ones."""
    if dice.chance(SCIENCE_SHARE):
        if hard:
            start, right = dice.pick(pairs("science"))
            question = dice.pick(NEW_WORDS).format(start)
        else:
            question, right = science_question(dice)
        return question, right, _others([end for _, end in pairs("science")], right, 3, dice)
    while True:
        group, facts = subject(world, dice)
        question, answer = dice.pick(QUESTIONS[group])
        if any(f"<{field}>" in answer for field in HARD_FACTS) == hard:
            break
    right = GRAMMAR.say(answer, dice, facts)
    all_answers = [GRAMMAR.say(answer, dice, other) for other in world.entities[group]]
    wrong = _others(all_answers, right, 3, dice)
    return GRAMMAR.say(question, dice, facts), right, wrong


def _arc(name: str, question: str, right: str, wrong: list[str], dice: Dice) -> Item:
    choices, at = _one_of(right, wrong, dice)
    labels = list("ABCD")
    return {
        "id": name,
        "question": question,
        "choices": {"text": choices, "label": labels},
        "answerKey": labels[at],
    }


def piqa(_world: World, dice: Dice, _number: int) -> Item:
    """Ask which of two things serves a goal, in words of the text or in words it does not use."""
    goal, means = everyday_texts.goal_and_tool(dice)
    wrong = _others([tool for _, tool in pairs("tools")], means, 1, dice)
    choices, label = _one_of(means, wrong, dice)
    asks, answers = dice.pick(PIQA_FORMS)
    return {
        "goal": asks.format(goal),
        "sol1": answers.format(choices[0]),
        "sol2": answers.format(choices[1]),
        "label": label,
    }


def mathqa(_world: World, dice: Dice, _number: int) -> Item:
    """Ask for the result of a small calculation; wrong results are near it."""
    question, result = everyday_texts.calculation(dice)
    near = [n for n in range(max(1, result - 12), result + 13) if n != result]
    choices, at = _one_of(str(result), [str(n) for n in dice.some(near, 4)], dice)
    return {
        "Problem": question,
        "Rationale": f"The answer is {result}.",
        "options": " , ".join(f"{a} ) {b}" for a, b in zip(LETTERS, choices, strict=True)),
        "correct": LETTERS[at],
        "annotated_formula": "",
        "linear_formula": "",
        "category": "general",
    }


def pubmedqa(_world: World, dice: Dice, number: int) -> Item:
    """Ask what a study concludes: yes, no or maybe."""
    context, question, answer = everyday_texts.study(dice)
    return {
        "QUESTION": question,
        "CONTEXTS": [context],
        "LABELS": ["RESULTS"],
        "MESHES": [],
        "YEAR": str(1990 + number % 30),
        "final_decision": answer,
        "LONG_ANSWER": lines(dice, 1, 1),
    }


WRITERS: tuple[Callable[[World, Dice, int], Item], ...] = (
    hellaswag, lambada, winogrande, copa, arc_easy, arc_challenge, piqa, mathqa, pubmedqa
)  # fmt: skip

DIALOGUES = 48
# Which sort of dialogue stands for which real set.
KIND_OF = {
    "wizard_of_wikipedia": "knowledge dialogue",
    "empathetic_dialogues": "empathy dialogue",
    "blended_skill_talk": "character dialogue",
    "wizard_of_internet": "search dialogue",
}
# In the others the second speaker is the one who knows, comforts or answers.
EITHER_SPEAKER = ("blended_skill_talk",)


def dialogue_sets(world: World, seed: int, count: int = DIALOGUES) -> dict[str, list[list[str]]]:
    """`count` dialogues per set; the last turn of each is the reply to be written."""
    made = {}
    for name, kind in KIND_OF.items():
        dice = Dice(seed, f"dialogues {name}")
        step = 1 if name in EITHER_SPEAKER else 2
        made[name] = [_up_to_a_reply(TURNS[kind](world, dice), step, dice) for _ in range(count)]
    return made


def _up_to_a_reply(turns: list[str], step: int, dice: Dice) -> list[str]:
    """The turns up to any but the first; in steps of two, to one of the second speaker's."""
    replies = (len(turns) - 2) // step
    return spoken(turns[: 2 + step * dice.whole(0, replies)])
