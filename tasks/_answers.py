"""The answers of a model in memory to the questions of sets, by their likelihood."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import resolve_max_length

from unlearnbench.errors import UserError
from unlearnbench.models.likelihoods import Likelihood, likelihoods

from ._questions import Question, Style, questions_of

if TYPE_CHECKING:
    from unlearnbench.data.evaluation_sets import EvaluationSet
    from unlearnbench.models.language_model import LanguageModel


Name = TypeVar("Name", bound=Hashable)


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

    All sets' questions go through the network together.  A document with a choice that does not
    fit the model's context, or has no token of its own, cannot be scored and is left out.
    """
    asked = {name: questions_of(data, style, limit) for name, data in sets.items()}
    return answers_to(model, {n: (sets[n].rows, own) for n, own in asked.items()}, batch_size)


def answers_to(
    model: "LanguageModel",
    asked: Mapping[Name, tuple[Sequence[Mapping[str, Any]], Sequence[Question]]],
    batch_size: int,
) -> dict[Name, list[Answer]]:
    """The model's answers to questions about rows, by name; see `answers`."""
    pairs = [pair for _, questions in asked.values() for q in questions for pair in q.requests]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    scored = iter(SharingLM(model, batch_size).loglikelihood(requests, disable_tqdm=True))
    by_name: dict[Name, list[Answer]] = {name: [] for name in asked}
    for name, (rows, questions) in asked.items():
        for question in questions:
            choices = [next(scored) for _ in question.requests]
            of_all = [likelihood for likelihood in choices if likelihood is not None]
            if len(of_all) == len(choices):
                by_name[name].append(_answer(rows[question.row], question, of_all))
    return by_name


def _answer(row: Mapping[str, Any], question: Question, scored: Sequence[Likelihood]) -> Answer:
    if len(scored) == 1:  # a word to be guessed
        text = question.requests[0][1].strip()
        return Answer(row, question.is_correct[scored[0].is_greedy], None, text)
    # As lm-eval chooses: the first of equal ones, and of what is no number.
    best = int(np.argmax([likelihood.log_probability for likelihood in scored]))
    return Answer(row, question.is_correct[best], best, question.requests[best][1].strip())


class SharingLM(TemplateLM):
    """A model in memory as lm-eval asks one, with the likelihoods of lm-eval's own `HFLM`.

    What several requests share goes through the network once.  A continuation that has no token,
    or more than the context holds, has None for a likelihood; `HFLM` stops there.
    Raises `UserError` for a tokenizer that has neither a first nor a last token.
    """

    def __init__(self, model: "LanguageModel", batch_size: int = 8) -> None:
        super().__init__()
        self.model, self.tokenizer, self.batch_size = model, model.tokenizer, batch_size
        self.max_length = resolve_max_length(model.network.config, model.tokenizer)
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        if bos is None and eos is None:
            raise UserError(
                f"{model.source.name}'s tokenizer has neither a first nor a last token; lm-eval "
                "needs one of them: set bos_token or eos_token in tokenizer_config.json"
            )
        self._prefix = int(eos if bos is None else bos)
        self._first = str(self.tokenizer.decode(self._prefix))
        self._ids: dict[tuple[str, bool], list[int]] = {}  # by text and `add_special_tokens`

    @property
    def eot_token_id(self) -> int:
        return self._prefix if self.tokenizer.eos_token_id is None else self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """What stands before a continuation without a context."""
        return self._prefix

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        **kwargs: Any,  # noqa: ARG002 - the library's signature
    ) -> list[int]:
        """Ids, by default with the special tokens the tokenizer adds, if the first is not there."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(self._first)
        key = (string, add_special_tokens)  # a question's context comes with each of its choices
        if key not in self._ids:
            encoded = self.tokenizer(string, add_special_tokens=add_special_tokens, verbose=False)
            self._ids[key] = list(encoded["input_ids"])
        return self._ids[key]

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str], list[int], list[int]]],
        **kwargs: Any,  # noqa: ARG002 - the library's signature
    ) -> list[Likelihood | None]:
        fits = [bool(c) and 0 < len(e) <= self.max_length for _, c, e in requests]
        fitting = [(c, e) for (_, c, e), fit in zip(requests, fits, strict=True) if fit]
        scored = iter(likelihoods(self.model, fitting, self.max_length, self.batch_size))
        return [next(scored) if fit else None for fit in fits]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError("perplexity is the task `perplexity`'s")

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        raise NotImplementedError("continuations are the task `dialogue`'s")
