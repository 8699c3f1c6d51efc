"""Accuracy on a benchmark's multiple-choice questions, in the words of lm-eval's own tasks."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnbench.data.items import select
from unlearnbench.errors import UserError
from unlearnbench.metrics.task import SPLITS, Measurement, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric
from unlearnbench.settings import setting

from ._splits import Column, SplitScores, first_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unlearnbench.data.items import Item, Split
    from unlearnbench.models.language_model import LanguageModel

    from ._answers import Answer
    from ._questions import Question

MEASURE = "multiple_choice"
_ACCURACY = Column("accuracy", "accuracy (%)")
_Row = dict[str, Any]

_logger = logging.getLogger("unlearnbench")


@register
@dataclass(kw_only=True)
class MultipleChoice(Task):
    """Share of questions whose right choice is the likeliest, asked as lm-eval's task asks them.

    A split's questions may be of several tasks (MMLU's subjects); its accuracy is over all of
    them, which is lm-eval's mean over subjects weighted by their sizes.
    """

    name = "multiple_choice"
    source = (
        "lm-eval's tasks (Gao et al.), without examples; Li et al. 2024 (WMDP); Hendrycks et al. "
        "2021 (MMLU)"
    )
    needs = (SPLITS,)
    measures = (MEASURE,)
    runs_by_default: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = ()  # by split

    batch_size: int = setting(
        8, "choices that are scored at a time at least; more where memory allows", minimum=1
    )

    def check_splits(self, model: "LanguageModel", splits: "Sequence[Split]") -> None:  # noqa: ARG002
        """Raise `UserError` for a question that its task of lm-eval cannot ask."""
        for split in select(splits, MEASURE):
            _asked(split)

    def measure(self, model: "LanguageModel", context: TaskContext) -> Measurement:
        """The accuracy of each split that asks for it, 0 or 1 for each item."""
        from ._answers import answers_to

        splits = first_of(context, self.measures)
        requested = {
            (split.name, task): own for split in splits for task, own in _asked(split).items()
        }
        by_split: dict[str, list[Answer]] = {}
        for (name, _), own in answers_to(model, requested, self.batch_size).items():
            by_split.setdefault(name, []).extend(own)
        collected = SplitScores()
        for split in splits:
            if answers := {a.row["doc_id"]: a for a in by_split[split.name]}:
                _warn_of_unscorable(split, len(answers))
                kept = [i.doc_id for i in split.items if i.doc_id in answers]
                correct = {doc_id: float(answers[doc_id].is_correct) for doc_id in kept}
                collected.add(split, _ACCURACY, correct, {d: answers[d].text for d in kept})
        return collected.measurement()


def _warn_of_unscorable(split: "Split", n_answers: int) -> None:
    if missing := len(split) - n_answers:
        _logger.warning(
            "%d of %d questions of split '%s' are left out, as a choice does not fit the model's "
            "context",
            missing,
            len(split),
            split.name,
        )


def _asked(split: "Split") -> "dict[str, tuple[list[_Row], tuple[Question, ...]]]":
    """Rows and questions of a split by lm-eval's task; raises `UserError` naming an item."""
    from ._questions import questions_about

    by_task: dict[str, list[Item]] = {}
    for item in split.items:
        if not item.choices or not item.asked_as:
            what = "choices" if not item.choices else "task of lm-eval that asks it (lm_eval = ...)"
            raise UserError(
                f"{item.where or split.name}: no {what}, and '{MEASURE}' is measured of split "
                f"'{split.name}'; see: unlearnbench show benchmark"
            )
        by_task.setdefault(item.asked_as, []).append(item)
    rows = {task: [_row(item) for item in items] for task, items in by_task.items()}
    by_name = {}
    for task, own in rows.items():
        try:
            by_name[task] = own, questions_about(task, own)
        except UserError:
            raise
        except Exception as error:  # a template is a program of its own, and raises what it likes
            raise UserError(
                f"{by_task[task][0].where}: lm-eval's task '{task}' cannot ask such questions "
                f"({error}); it gets question, choices and answer"
            ) from error
    return by_name


def _row(item: "Item") -> _Row:
    """An item as data sets on the hub have it."""
    return {
        "doc_id": item.doc_id,
        "question": item.question,
        "choices": list(item.choices),
        "answer": item.position,
    }
