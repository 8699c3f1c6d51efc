"""Evaluation sets: questions and conversations, each in the schema its real data set has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """The rows of one data set, as read, with what a record needs to say where they came from."""

    name: str  # one of the names above
    rows: tuple[dict[str, Any], ...]
    split: str  # 'validation' or 'test'
    source: str  # 'nano', 'hf:owner/name:config', or the file's name
    revision: str | None  # the hub's resolved commit; None for files
    sha256: str  # of the rows


def read_sets(
    names: Sequence[str], place: str, revisions: Mapping[str, str], warnings: list[str]
) -> dict[str, EvaluationSet]:
    """The named sets from a place: 'hub', 'nano', or a folder.

    A set that cannot be had is left out with one warning; a file that is there and is wrong
    raises `UserError` naming file, row and field.
    """
    _ = names, place, revisions, warnings
    return {}
