"""Random choices that give the same answer on every Python version."""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A labelled stream of random choices, all derived from `random()` alone.

    Python only promises that `random.Random(seed).random()` never changes; `choice`,
    `sample` and `shuffle` have changed before, so they are written out here.
    """

    def __init__(self, seed: int, label: str = "") -> None:
        digest = hashlib.sha256(f"{seed}:{label}".encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big")).random

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return self._random()

    def chance(self, probability: float) -> bool:
        """Say yes with the given probability."""
        return self._random() < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One item, all equally likely."""
        return items[int(self._random() * len(items))]

    def pick_early(self, items: Sequence[T], skew: float) -> T:
        """One item, earlier ones the more likely the larger `skew` is; 1: all equally."""
        return items[int(self._random() ** skew * len(items))]

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        """One item with probability proportional to its weight."""
        left = self._random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            left -= weight
            if left < 0:
                return item
        return items[-1]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order (Fisher-Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = int(self._random() * (last + 1))
            order[last], order[other] = order[other], order[last]
        return order

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items in random order."""
        return self.shuffled(items)[:count]

    def digits(self, count: int) -> str:
        """A string of `count` decimal digits."""
        return "".join(str(int(self._random() * 10)) for _ in range(count))
