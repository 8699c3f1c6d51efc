"""Evaluation sets from wherever they are: the hub, a folder, a synthetic world."""

import json
from collections.abc import Mapping, Sequence

from unlearnbench.data.evaluation_sets.evaluation_set import (
    CLASSIFICATION_SETS,
    DIALOGUE_SETS,
    EvaluationSet,
)
from unlearnbench.data.evaluation_sets.folder import read_folder
from unlearnbench.data.evaluation_sets.hub import ON_HUB, read_hub
from unlearnbench.errors import UserError, unknown
from unlearnbench.files.tables import count_repeats
from unlearnbench.nano import find_world


def read_sets(
    names: Sequence[str], place: str, revisions: Mapping[str, str], warnings: list[str]
) -> dict[str, EvaluationSet]:
    """The named sets from a place: 'hub', a world's name, or a folder.

    `revisions` pins sets of the hub by name.  A set that cannot be had is left out with one
    warning; a file that is there and is wrong raises `UserError` naming file, row and field.
    """
    _check_names(names, revisions, place)
    said: list[str] = []
    world = find_world(place)
    if place == "hub":
        found = read_hub(names, revisions, said)
    elif world:  # its data need not be made if nothing of it is read
        found = read_folder(names, world.data(), said, source=place) if names else {}
    else:
        found = read_folder(names, place, said)
    if not world:  # what a world repeats is meant (docs/nano.md), and no mistake
        said += _repeats(found)
    warnings += [line for line in said if line not in warnings]  # a grid reads once per model
    return found


def _repeats(found: Mapping[str, EvaluationSet]) -> list[str]:
    """One line per set that has rows twice."""
    lines = []
    for name, made in found.items():
        rows = [json.dumps({**row, "doc_id": ""}, sort_keys=True) for row in made.rows]
        if told := count_repeats(rows, [row["doc_id"] for row in made.rows]):
            lines.append(f"{name}: {told}")
    return lines


def _check_names(names: Sequence[str], revisions: Mapping[str, str], place: str) -> None:
    for name in names:
        if name not in (known := (*CLASSIFICATION_SETS, *DIALOGUE_SETS)):
            raise unknown("evaluation set", name, known, "unlearnbench show classification")
    for name in revisions:
        if name not in ON_HUB:
            raise unknown("set of --data-revision", name, ON_HUB, "unlearnbench run --help")
    if revisions and place != "hub":
        world = find_world(place)
        where = world.title if world else f"files (--data {place})"
        raise UserError(
            f"--data-revision is for sets of the hub, and the sets are from {where}; drop it"
        )
