# ruff: noqa: E501 (a template reads best on one line)
"""Four sorts of dialogue: knowledge, empathy, chit-chat with a character, and search."""

from collections.abc import Callable

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.knowledge import FEELING_CAUSES
from unlearnbench.nano.world.phrases import GRAMMAR
from unlearnbench.nano.world.reference_texts import ARTICLES, QUESTIONS, subject
from unlearnbench.nano.world.world import World

COMMENTS = (
    "[Oh|Really|I see|Interesting], <clause>.",
    "I [once|never|often] <verbed> <np>.",
    "My <role> <doing>.",
    "[Do you like|Have you tried|What about] <hobby>?",
    "<Clause>, I think.",
    "I [prefer|like|miss] <food> and <food>.",
    "That reminds me of <np>.",
    "[We|They] <doing> <when>.",
)
COMFORT: dict[str, str] = {
    "proud": "[You can be proud|Well done], <wish>.",
    "lonely": "[You are not alone|Come and visit me], <wish>.",
    "afraid": "[That sounds scary|Do not be afraid], <wish>.",
    "grateful": "[How kind|People can be good], <wish>.",
    "angry": "[I would be angry too|Take a deep breath], <wish>.",
    "excited": "[How exciting|Have fun], <wish>.",
    "sad": "[I am so sorry|That is sad], <wish>.",
    "hopeful": "[I hope it works|Fingers crossed], <wish>.",
    "jealous": "[That is not fair|Your turn will come], <wish>.",
    "surprised": "[What a surprise|What luck], <wish>.",
    "guilty": "[Everyone makes mistakes|Just say sorry], <wish>.",
    "nervous": "[You will do fine|Take your time], <wish>.",
    "calm": "[That sounds peaceful|Enjoy it], <wish>.",
    "embarrassed": "[It happens to all|Nobody will remember], <wish>.",
}
WISH = "[my <role> <doing> too|I once <verbed> <np>|what did the <role> say|did you tell <first>|you should see <np>|tell me more|<clause>]"


def knowledge_turns(world: World, dice: Dice) -> list[str]:
    """Write the turns of a talk in which one side knows the facts about a public entity."""
    group, facts = subject(world, dice)
    turns = [
        GRAMMAR.say(
            "[Do you know|I like|Tell me about|I just read about] <name>[.|?|, <clause>.]",
            dice,
            facts,
        )
    ]
    for fact in dice.some(ARTICLES[group], dice.whole(2, 3)):
        turns.append(GRAMMAR.say(f"[Yes. |Sure. |Well. |<Clause>. |]{fact}.", dice, facts))
        turns.append(GRAMMAR.say(dice.pick(COMMENTS), dice))
    return turns


def empathy_turns(_world: World, dice: Dice) -> list[str]:
    """Write the turns of a talk about an experience and the feeling that came with it."""
    happened, feeling = dice.pick(FEELING_CAUSES)
    facts = {"happened": happened, "f": feeling, "wish": GRAMMAR.say(WISH, dice)}
    turns = [
        GRAMMAR.say(
            "[<When> |Guess what, |You know, |]I <happened>[.| and felt <f>.|, <clause>.]",
            dice,
            facts,
        ),
        GRAMMAR.say(COMFORT[feeling], dice, facts),
    ]
    if dice.chance(0.7):
        turns.append(
            GRAMMAR.say(
                "[I felt so <f>|Yes, I was <f>|Thank you|It was <when>][.|, <clause>.]", dice, facts
            )
        )
        turns.append(GRAMMAR.say(dice.pick(COMMENTS), dice))
    return turns


def character_turns(_world: World, dice: Dice) -> list[str]:
    """Write the turns of small talk between two people with a job, a hobby and a taste."""
    facts = {
        "job": GRAMMAR.say("<role>", dice),
        "h": GRAMMAR.say("<hobby>", dice),
        "meal": GRAMMAR.say("<food>", dice),
    }
    asked = [
        ("[What do you do|Do you work|What is your job]?", "I am <a:job>[, <clause>|].", "job"),
        (
            "[What do you do for fun|Any hobbies|What do you do on weekends]?",
            "I [love|enjoy|do a lot of] <h>[, and <clause>|].",
            "h",
        ),
        (
            "[What do you eat|Are you hungry|What is your favourite food]?",
            "I [always eat|could live on|cook] <meal>[ with <food>|].",
            "meal",
        ),
    ]
    turns: list[str] = []
    for ask, answer, _ in dice.some(asked, dice.whole(2, 3)):
        opening = GRAMMAR.say("[|Hello. |Nice. |I see. |<Clause>. ]", dice)
        turns += [opening + GRAMMAR.say(ask, dice), GRAMMAR.say(answer, dice, facts)]
    return [*turns, GRAMMAR.say(dice.pick(COMMENTS), dice)]


def search_turns(world: World, dice: Dice) -> list[str]:
    """Write the turns of a talk in which a question is answered after a search."""
    turns = []
    for _ in range(dice.whole(1, 2)):
        group, facts = subject(world, dice)
        asked, answer = dice.pick(QUESTIONS[group])
        turns.append(GRAMMAR.say(f"[|Hi. |Another question: |<Clause>. ]{asked}", dice, facts))
        turns.append(
            GRAMMAR.say(
                f"[I searched: |I found this: |One page says |The answer is ]{answer}[.|, and <clause>.]",
                dice,
                facts,
            )
        )
    return [*turns, GRAMMAR.say(dice.pick(COMMENTS), dice)]


TurnWriter = Callable[[World, Dice], list[str]]
TURNS: dict[str, TurnWriter] = {
    "knowledge dialogue": knowledge_turns,
    "empathy dialogue": empathy_turns,
    "character dialogue": character_turns,
    "search dialogue": search_turns,
}


def dialogue_writer(kind: str) -> Callable[[World, Dice], str]:
    """The writer of one sort of dialogue as a document."""
    return lambda world, dice: "".join(
        f"User {1 + number % 2}: {turn}\n"
        for number, turn in enumerate(spoken(TURNS[kind](world, dice)))
    )


def spoken(turns: list[str]) -> list[str]:
    """The turns, each with a capital."""
    return [turn[:1].upper() + turn[1:] for turn in turns]
