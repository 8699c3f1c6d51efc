"""Models beyond the shipped ones, made when they are asked for: retrainings, and pools.

Retrainings differ from a shipped model in the seed of their last stage.  A pool is a set of models
that do and do not know what is to be forgotten, by which metrics are tested: `unlearnbench meta`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unlearnbench.files.cache import cache_root

COMMAND = "unlearnbench nano build pools"
VERSION = 1  # of the recipes: models of another one are not taken for those of this one
FIRST_STAGE = "first-stage"  # of nano-neo and nano-retrained; their retrainings start from it

#: What a model reads in its last stage in the place of rows or questions to forget.
Reads = Literal[
    "rows",  # the very rows, or questions and answers
    "paraphrases",  # the same details or facts in other sentences of the same form
    "other texts",  # the same details in another kind of document, the facts as running text
    "other people",  # rows or questions of the same form about somebody else
    "wrong facts",  # the same people with facts that are another's
    "other rows",  # nothing of the kind: other private rows, or only the other authors
]
KNOWING: tuple[Reads, ...] = ("rows", "paraphrases", "other texts")
LABELS: Mapping[Reads, str] = {
    "rows": "the rows themselves",
    "paraphrases": "paraphrases",
    "other texts": "the same facts in other texts",
    "other people": "other people",
    "wrong facts": "wrong facts about the same people",
    "other rows": "none of it",
}


@dataclass(frozen=True)
class PoolModel:
    """A model of a pool: short last stages that differ in what is read, seed and rate."""

    name: str
    reads: Reads
    seed: int
    peak_share: float  # of the full learning rate

    @property
    def knows(self) -> bool:
        """Whether it has read what is to be forgotten, in whatever form."""
        return self.reads in KNOWING


def _pool(prefix: str, *made: tuple[Reads, int], rates: tuple[float, ...]) -> tuple[PoolModel, ...]:
    """Of each sort so many, seeds counted on from one and rates in turn."""
    return tuple(
        PoolModel(
            f"{prefix}-{reads.replace(' ', '-')}-{number + 1}",
            reads,
            10 * place + number + 1,
            rates[number % len(rates)],
        )
        for place, (reads, count) in enumerate(made)
        for number in range(count)
    )


NANO_POOL = _pool(
    "nano-pool",
    ("rows", 3),
    ("paraphrases", 2),
    ("other texts", 2),
    ("other people", 2),
    ("other rows", 2),
    rates=(0.5, 0.25, 1.0),
)
NANO_TOFU_POOL = _pool(
    "nano-tofu-pool",
    ("rows", 3),
    ("paraphrases", 3),
    ("other texts", 3),
    ("other people", 3),
    ("wrong facts", 3),
    ("other rows", 2),
    rates=(1.0, 0.5, 0.25),
)


def made_folder() -> Path:
    """Where in the cache models are that were made on demand."""
    return cache_root() / f"nano-models-{VERSION}"
