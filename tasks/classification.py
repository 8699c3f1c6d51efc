"""Nine classification tasks: Table I's Cls Avg. column, and a column for each."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unlearnbench.data.evaluation_sets import CLASSIFICATION_SETS
from unlearnbench.metrics.task import Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric, Score, table_i
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

    from ._answers import Answer

_TITLES = {
    "hellaswag": "HellaSwag",
    "lambada": "LAMBADA",
    "winogrande": "WinoGrande",
    "copa": "COPA",
    "arc_easy": "ARC-Easy",
    "arc_challenge": "ARC-Challenge",
    "piqa": "PIQA",
    "mathqa": "MathQA",
    "pubmedqa": "PubMedQA",
}
# What the data call the choices, where that is not their position from 0.
_LETTERS = {"winogrande": "12", "mathqa": "abcde"}

_logger = logging.getLogger("unlearnbench")


def _accuracy(name: str) -> Metric:
    return Metric(name, f"{_TITLES[name]} (ACC)", True, unit="%", scale=100.0, in_score=False)


@register
@dataclass(kw_only=True)
class Classification(Task):
    """Accuracy of nine question sets by summed log-likelihood, through lm-eval, and its mean.

    The protocol's `task_prompts` chooses lm-eval's own prompts or the released plain ones.
    """

    name = "classification"
    source = (
        "lm-eval's tasks (Gao et al.), scored over the model in memory; validation splits, "
        "LAMBADA's test split"
    )
    needs = CLASSIFICATION_SETS
    is_of_model_alone = True
    metrics = (*table_i("cls_avg"), *map(_accuracy, CLASSIFICATION_SETS))

    batch_size: int = setting(
        8, "choices that are scored at a time at least; more where memory allows", minimum=1
    )

    def measure(self, model: "LanguageModel", context: TaskContext) -> dict[str, Score]:
        """Accuracy by set, of the sets there are; `cls_avg` only if all nine were measured."""
        sets = {name: context.sets[name] for name in self.needs if name in context.sets}
        if not sets:
            return {}
        from ._answers import answers

        style = context.protocol.task_prompts
        answered = answers(model, sets, style, self.batch_size, context.limit)
        n_rows = {name: len(each.rows[: context.limit]) for name, each in sets.items()}
        _warn_of_unscorable({name: n_rows[name] - len(answered[name]) for name in sets}, n_rows)
        scores = {name: score_of(name, each) for name, each in answered.items() if each}
        average = average_of(scores) if len(scores) == len(self.needs) else None
        return scores if average is None else {"cls_avg": average, **scores}


def score_of(name: str, answers: "Sequence[Answer]") -> Score:
    """Accuracy with the standard error of a mean of zeros and ones; one answer or more.

    Degenerate: the same answer to every document, that is the same word (PubMedQA) or the
    same position among the choices; a word to be guessed (LAMBADA) has no such answer.
    """
    correct = {answer.row["doc_id"]: float(answer.is_correct) for answer in answers}
    choices = {answer.choice for answer in answers}
    return Score.of(
        correct,
        higher_is_better=True,
        outputs={a.row["doc_id"]: _said(name, a) for a in answers if a.choice is not None},
        degenerate=len(answers) > 1 and len(choices) == 1 and choices != {None},
    )


def average_of(scores: Mapping[str, Score]) -> Score:
    """The unweighted mean of the sets' accuracies; degenerate only if every set with choices is."""
    with_choices = [score for score in scores.values() if score.outputs]
    are_degenerate = bool(with_choices) and all(score.degenerate for score in with_choices)
    return Score.mean_of(scores, degenerate=are_degenerate)


def _said(name: str, answer: "Answer") -> str:
    """The answer as the data write it: a label, or the choice's position from 0."""
    choice: Any = answer.choice
    if name == "pubmedqa":
        return answer.text
    labels = answer.row["choices"]["label"] if name.startswith("arc_") else _LETTERS.get(name, "")
    return str(labels[choice] if choice < len(labels) else choice)


def _warn_of_unscorable(missing: Mapping[str, int], n_rows: Mapping[str, int]) -> None:
    left_out = [f"{n} of {n_rows[name]} in {name}" for name, n in missing.items() if n]
    if left_out:
        _logger.warning(
            "documents left out, as a choice does not fit the model's context: %s",
            ", ".join(left_out),
        )
