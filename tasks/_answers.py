"""The answers of a model in memory to the questions of sets, by their likelihood."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._encoding import encode_requests, longest
from ._likelihoods import Likelihood, likelihoods
from ._questions import Question, Style, questions_of

if TYPE_CHECKING:
    from unlearnbench.data.evaluation_sets import EvaluationSet
    from unlearnbench.models.language_model import LanguageModel


@dataclass(frozen=True)
class Answer:
    """What the model answered to one document."""

    row: Mapping[str, Any]  # of the evaluation set
    is_correct: bool
    choice: int | None  # position of the likeliest choice; None where there are no choices
    text: str  # of that choice as it was scored, or what was to be continued with


def answers(
    model: "LanguageModel",
    sets: Mapping[str, "EvaluationSet"],
    style: Style,
    batch_size: int,
    limit: int | None,
) -> dict[str, list[Answer]]:
    """The model's answers by set, scored over the network as it is in memory.

    A document with a choice that does not fit the model's context, or has no token of its
    own, cannot be scored and is left out.
    """
    asked = {name: questions_of(found, style, limit, _ask) for name, found in sets.items()}
    scored = iter(
        _scored(model, [q for questions in asked.values() for q in questions], batch_size)
    )
    return {
        name: [
            _answer(sets[name].rows[question.row], question, found)
            for question, found in zip(questions, scored, strict=False)
            if found is not None
        ]
        for name, questions in asked.items()
    }


def _ask(found: "EvaluationSet", style: Style, limit: int | None) -> tuple[Question, ...]:
    from ._lm_eval import ask  # takes a second, which cached questions need not wait for

    return ask(found, style, limit)


def _scored(
    model: "LanguageModel", questions: Sequence[Question], batch_size: int
) -> Iterator[list[Likelihood] | None]:
    """Likelihoods of each question's choices; all sets' go through the network together."""
    length = longest(model)
    encoded = iter(encode_requests(model, [r for q in questions for r in q.requests]))
    by_question = [[next(encoded) for _ in question.requests] for question in questions]
    fits = [all(c and 0 < len(e) <= length for c, e in pairs) for pairs in by_question]
    fitting = [pair for pairs, fit in zip(by_question, fits, strict=True) if fit for pair in pairs]
    found = iter(likelihoods(model, fitting, length, batch_size))
    for pairs, fit in zip(by_question, fits, strict=True):
        yield [next(found) for _ in pairs] if fit else None


def _answer(row: Mapping[str, Any], question: Question, found: Sequence[Likelihood]) -> Answer:
    if len(found) == 1:  # a word to be guessed
        text = question.requests[0][1].strip()
        return Answer(row, question.is_correct[found[0].is_greedy], None, text)
    # As lm-eval chooses: the first of equal ones, and of what is no number.
    best = int(np.argmax([likelihood.log_probability for likelihood in found]))
    return Answer(row, question.is_correct[best], best, question.requests[best][1].strip())
