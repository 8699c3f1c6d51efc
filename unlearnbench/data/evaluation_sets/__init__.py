"""Evaluation sets: questions and conversations, each in the schema its real data set has.

Tasks are listed by the names here, without what reads their data (reading.py).
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unlearnbench.files.hashing import text_sha256

CLASSIFICATION_SETS = (
    "hellaswag",
    "lambada",
    "winogrande",
    "copa",
    "arc_easy",
    "arc_challenge",
    "piqa",
    "mathqa",
    "pubmedqa",
)
DIALOGUE_SETS = (
    "wizard_of_wikipedia",
    "empathetic_dialogues",
    "blended_skill_talk",
    "wizard_of_internet",
)


@dataclass(frozen=True)
class EvaluationSet:
    """The rows of one data set, checked, with what a record needs to say where they came from."""

    name: str  # one of the names above
    rows: tuple[dict[str, Any], ...]  # the fields its task needs, and 'doc_id'
    split: str  # 'validation' or 'test'
    source: str  # a world's name, 'hf:owner/name:config', or the file's name
    revision: str | None = None  # the hub's resolved commit; None for files

    @cached_property
    def sha256(self) -> str:
        """Digest of the rows."""
        return text_sha256(*(json.dumps(row, sort_keys=True) for row in self.rows))


def wanted_split(name: str) -> str:
    """The split a set is measured on: LAMBADA has a test split only, the others are validated."""
    return "test" if name == "lambada" else "validation"
