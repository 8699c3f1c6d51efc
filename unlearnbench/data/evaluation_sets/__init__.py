"""Evaluation sets: questions and conversations, each in the schema its real data set has."""

from collections.abc import Mapping, Sequence

from unlearnbench.data.evaluation_sets.evaluation_set import (
    CLASSIFICATION_SETS,
    DIALOGUE_SETS,
    EvaluationSet,
)

__all__ = ["CLASSIFICATION_SETS", "DIALOGUE_SETS", "EvaluationSet", "read_sets"]


def read_sets(
    names: Sequence[str], place: str, revisions: Mapping[str, str], warnings: list[str]
) -> dict[str, EvaluationSet]:
    """The named sets from a place: 'hub', a world's name, or a folder; see `reading.read_sets`."""
    # Here, not above: tasks are listed by their names, without what reads their data.
    from unlearnbench.data.evaluation_sets.reading import read_sets

    return read_sets(names, place, revisions, warnings)
