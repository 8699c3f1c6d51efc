"""The nano world's four dialogue sets, in the layout of the real ones: rows of turns."""

from __future__ import annotations

from unlearnbench.nano.world.dialogue_texts import TURNS, spoken
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.world import World

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
    """Return ``count`` dialogues per set; the last turn of each is the reply to be written."""
    made = {}
    for name, kind in KIND_OF.items():
        dice = Dice(seed, f"dialogues {name}")
        step = 1 if name in EITHER_SPEAKER else 2
        made[name] = [_up_to_a_reply(TURNS[kind](world, dice), step, dice) for _ in range(count)]
    return made


def _up_to_a_reply(turns: list[str], step: int, dice: Dice) -> list[str]:
    """Return the turns up to any but the first; in steps of two, to one of the second speaker's."""
    replies = (len(turns) - 2) // step
    return spoken(turns[: 2 + step * dice.whole(0, replies)])
