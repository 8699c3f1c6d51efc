"""What a task may give back: checked before it becomes part of a result."""

import math
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.metrics.task import Metric, Score
from unlearnbench.results.contradictions import contradictions_of

if TYPE_CHECKING:
    from unlearnbench.metrics.task import Task


def check_scores(task: "Task", scores: Any) -> dict[str, Score]:
    """The scores, if they are some: a number by the name of each metric.

    Infinite is a number (the perplexity of a destroyed model), NaN is none.  Raises
    `UserError` naming task and metric.
    """
    if not isinstance(scores, dict):
        raise UserError(
            f"task '{task.name}' returned {type(scores).__name__}, not a dict of scores by metric; "
            "see unlearnbench.task.Task"
        )
    for name, score in scores.items():
        if not isinstance(score, Score):
            raise UserError(
                f"task '{task.name}' returned {type(score).__name__} for {name!r}, not a Score"
            )
        if (wrong := next(contradictions_of(score), None)) is not None:
            raise UserError(f"task '{task.name}', '{name}': {wrong}")
        if math.isnan(score.value):
            raise UserError(
                f"task '{task.name}' measured NaN for '{name}'; what cannot be measured is left out"
            )
    return scores


def columns_of(task: "Task", scores: dict[str, Score]) -> tuple[Metric, ...]:
    """The columns of those scores, in the task's order; raises `UserError` if one has none."""
    columns = tuple(task.measured(scores))
    unknown = scores.keys() - {column.name for column in columns}
    if unknown:
        raise UserError(
            f"task '{task.name}' measured '{min(unknown)}', which is none of its metrics; "
            "declare it in `metrics`"
        )
    return columns
