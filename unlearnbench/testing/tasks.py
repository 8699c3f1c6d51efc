"""The check of tasks: two documents of the nano world are measured, twice."""

import math
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.testing.contract import (
    FORGET_SET,
    N_ROWS,
    ContractError,
    check_described,
    process_untouched,
    world,
)

if TYPE_CHECKING:
    from unlearnbench.api import LoadedForgetSet
    from unlearnbench.data.items import Split
    from unlearnbench.metrics.task import Measurement, Task
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.score import Score


def check_task(task: "type[Task]", **settings: Any) -> "dict[str, Score]":
    """Measure the nano model with a task, twice, and check its scores; gives them.

    Checked: the description; one declared metric for each score, in the same direction; finite
    numbers and errors; a value for each document where documents are told apart; no more
    documents than the limit; the same scores again; model and process as they were.
    """
    from unlearnbench.metrics.task import columns_of
    from unlearnbench.models.network_state import state_sha256

    check_described(task)
    model, forget_set = world()
    weights = state_sha256(model.network, forget_set.rows)
    instance = task(**settings)
    measurement = _measured(instance, model, forget_set)
    scores = measurement.scores
    if not scores:
        raise ContractError(
            f"{task.name} measured nothing on the nano world; does it need sets it has not?"
        )
    columns = {metric.name: metric for metric in columns_of(instance, measurement)}
    for name, score in scores.items():
        if (right := columns[name].higher_is_better) != score.higher_is_better:
            raise ContractError(
                f"{task.name}: the metric '{name}' says higher_is_better={right}, and its score "
                f"says {score.higher_is_better}"
            )
        if score.stderr is not None and math.isnan(score.stderr):
            raise ContractError(f"{task.name}: '{name}' has a standard error of {score.stderr}")
    if state_sha256(model.network, forget_set.rows) != weights:
        raise ContractError(f"{task.name} changed the weights of the model that it measured")
    with process_untouched(task.name):
        again = _measured(instance, model, forget_set).scores
    changed = [name for name in scores if scores[name] != again.get(name)]
    if changed:
        raise ContractError(f"{task.name} measured '{changed[0]}' differently the second time")
    return scores


def _measured(task: "Task", model: "LanguageModel", forget_set: "LoadedForgetSet") -> "Measurement":
    """What a task finds out about two documents of the nano world, checked."""
    from unlearnbench.api import load_model, make_examiner
    from unlearnbench.experiments.data_choice import evaluation_data
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.metrics.task import Measurement, TaskContext, columns_of

    texts, sets, _ = evaluation_data(Experiment(), FORGET_SET, task.needs)
    context = TaskContext(
        forget_set,
        texts,
        sets=sets,
        splits=_splits(task, model, forget_set),
        load_retrained=lambda: load_model("nano-retrained"),
        protocol=forget_set.protocol,
        limit=N_ROWS,
        examiner=make_examiner(model, forget_set, stop="paper"),
    )
    try:
        measurement = Measurement.of(task, task.measure(model, context))
        columns_of(task, measurement)
        return measurement
    except UserError as error:  # what a run says of scores that are none
        raise ContractError(f"{task.name}: {error}") from error


def _splits(
    task: "Task", model: "LanguageModel", forget_set: "LoadedForgetSet"
) -> "tuple[Split, ...]":
    """The forget set's rows as questions and answers, of which all is measured that it knows."""
    from unlearnbench.data.items import Item, Split
    from unlearnbench.data.templates import Template

    rows = forget_set.rows
    texts = [(model.decode(rows.prefix(i)), model.decode(rows.suffix(i))) for i in range(N_ROWS)]
    items = tuple(
        Item(
            doc_id,
            question,
            answer,
            paraphrases=(answer[::-1],),
            wrong=(answer[1:], answer[::-1], question),
            position=0,
            asked_as="mmlu_anatomy",
        )
        for doc_id, (question, answer) in zip(rows.doc_ids, texts, strict=False)
    )
    plain, measures = Template("plain", prompt="{question}", separator=""), frozenset(task.measures)
    return (
        Split("forget", "forget", items, plain, measures, new_tokens=8),
        Split("retain", "retain", items, plain, measures, new_tokens=8),
    )
