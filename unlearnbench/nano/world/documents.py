"""Every kind of document of the nano world, and how often each is written."""

from __future__ import annotations

from unlearnbench.nano.world import dialogue_texts, everyday_texts, reference_texts
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.private_texts import PRIVATE_KINDS, DocumentWriter, private_writer
from unlearnbench.nano.world.world import World

WRITERS: dict[str, tuple[float, DocumentWriter]] = (
    {
        "article": (9, reference_texts.article),
        "wiki": (5, reference_texts.wiki_article),
        "public news": (6, reference_texts.news),
        "question": (8, reference_texts.question),
        "cause": (5, everyday_texts.cause),
        "tool": (5, everyday_texts.tool),
        "activity": (6, everyday_texts.activity),
        "pronoun": (5, everyday_texts.pronoun),
        "story": (6, everyday_texts.story),
        "word problem": (5, everyday_texts.word_problem),
        "abstract": (6, everyday_texts.abstract),
    }
    | {kind: (5.0, dialogue_texts.dialogue_writer(kind)) for kind in dialogue_texts.TURNS}
    | {f"private {kind}": (4.0, private_writer(kind)) for kind in PRIVATE_KINDS}
)

KINDS = tuple(WRITERS)
WEIGHTS = tuple(weight for weight, _ in WRITERS.values())


def write(kind: str, world: World, dice: Dice) -> str:
    """Write one document of a kind."""
    return WRITERS[kind][1](world, dice)


def write_any(world: World, dice: Dice) -> str:
    """Write one document of a kind drawn by the weights above."""
    return write(dice.weighted(KINDS, WEIGHTS), world, dice)
