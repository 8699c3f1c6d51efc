"""A schedule for one model that is trained outside a grid."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from unlearnbench.experiments.data_choice import evaluation_data
from unlearnbench.experiments.schedule_choice import (
    check_warmup,
    choose_schedule,
    schedule_for,
    with_budget_text,
)
from unlearnbench.metrics.task import TEXTS

if TYPE_CHECKING:
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.method import Method


@contextmanager
def scheduled(
    model: "LanguageModel", experiment: "Experiment", method: "Method", n_rows: int, place: str
) -> Iterator[tuple[str, ...]]:
    """Within, the model is trained by the experiment's schedule; gives its budget's documents.

    `place` is 'hub' or the world of the forget set, where texts are that the experiment does not
    name.  Raises `UserError` as planning does.
    """
    problems: list[str] = []
    schedule = schedule_for(type(method), choose_schedule(experiment), problems)
    check_warmup(schedule, method.name, asdict(method), n_rows)
    documents: tuple[str, ...] = ()
    if schedule.until == "budget":
        texts, _, more = evaluation_data(experiment, place, (TEXTS,))
        schedule = with_budget_text(schedule, texts)
        documents, problems = texts[schedule.budget_text or ""], problems + more
    for problem in problems:
        warnings.warn(problem, stacklevel=4)
    before, model.strategy = model.strategy, replace(model.strategy, schedule=schedule)
    try:
        yield documents
    finally:
        model.strategy = before
