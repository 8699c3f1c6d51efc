"""Rules that stand in for annotators in a rehearsal: each a pure function of the three texts."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from unlearnbench.ratings.human.scale import HIGHEST, LOWEST
from unlearnbench.ratings.human.sheet import Item
from unlearnbench.ratings.text_quantities import freshness, novelty, substance


@dataclass(frozen=True)
class Rule:
    """A stand-in for an annotator, and how it rates in words."""

    name: str  # begins with RULE_PREFIX
    formula: str
    share: Callable[[Item], float]  # 0 worst .. 1 best

    def score(self, item: Item) -> int:
        """A whole score of 1..8: the nearest to 1 + 7 x share, the higher one of two."""
        return LOWEST + math.floor((HIGHEST - LOWEST) * self.share(item) + 0.5)


def _overlap(item: Item) -> float:
    return substance(item.continuation, item.reference) * novelty(item.continuation, item.reference)


def _repetition(item: Item) -> float:
    fresh = freshness(item.prefix, item.continuation)
    return substance(item.continuation, item.reference) * fresh


def _both(item: Item) -> float:
    return _overlap(item) * freshness(item.prefix, item.continuation)


RULES = (
    Rule("rule-overlap", "1 + 7 x substance x (1 - token F1 with the reference)", _overlap),
    Rule("rule-repetition", "1 + 7 x substance x freshness", _repetition),
    Rule("rule-both", "1 + 7 x substance x (1 - token F1) x freshness", _both),
)

TERMS = (
    "Scores are rounded to whole ones. Substance: the continuation's words over half the "
    "reference's number of words, at most 1. Freshness: the share of its word pairs that stand "
    "neither in the prefix nor earlier in it."
)
