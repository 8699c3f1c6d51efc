"""The one place where lm-eval is touched: its tasks say what is asked, and what is right."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from itertools import groupby
from typing import TYPE_CHECKING

import lm_eval.api.task
from datasets import Dataset, are_progress_bars_disabled
from datasets import disable_progress_bars as hide_bars
from datasets import enable_progress_bars as show_bars
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml
from lm_eval.utils import env as templates

from ._questions import Question, Style, task_file

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from unlearnbench.data.evaluation_sets import EvaluationSet


def ask(found: "EvaluationSet", style: Style, limit: int | None) -> tuple[Question, ...]:
    """The set's questions as lm-eval's task puts them, in the order of its rows."""
    with _quiet(), _templates_compiled_once():
        task = _load(found, style, limit)
        task.build_all_requests()
        by_row = groupby(task.instances, key=lambda instance: instance.doc_id)
        return tuple(_question(task, row, list(instances)) for row, instances in by_row)


def _question(task: ConfigurableTask, row: int, instances: "Sequence[Instance]") -> Question:
    requests = [tuple(instance.args) for instance in instances]
    # What lm-eval would say to each answer a model can give; only which one is likeliest counts.
    likeliest = range(len(requests)) if len(requests) > 1 else range(-1, 1)
    answers = (
        [(float(at == best), at == best) for at in range(len(requests))] for best in likeliest
    )
    accuracies = (task.process_results(instances[0].doc, answer)["acc"] for answer in answers)
    return Question(row, tuple(requests), tuple(map(bool, accuracies)))


def _load(found: "EvaluationSet", style: Style, limit: int | None) -> ConfigurableTask:
    config = load_yaml(task_file(found.name, style))
    for index_entry in ("tag", "group"):  # of lm-eval's own catalogue of tasks
        config.pop(index_entry, None)
    rows = Dataset.from_list(list(found.rows[:limit]))
    if prepare := config.pop("process_docs", None):
        rows = prepare(rows)  # once; the task would do it at every reading
    no_splits = dict.fromkeys(("training_split", "validation_split", "fewshot_split"))
    in_memory = {"custom_dataset": lambda **_: {"rows": rows}, "dataset_kwargs": None}
    return ConfigurableTask(config={**config, **no_splits, **in_memory, "test_split": "rows"})


@contextmanager
def _templates_compiled_once() -> Iterator[None]:
    # lm-eval compiles a task's templates again for every document: two thirds of the time here.
    templates.from_string = lru_cache(templates.from_string)
    try:
        yield
    finally:
        del templates.from_string  # the class's own is back


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence lm-eval's logs and bars."""
    with ExitStack() as stack:
        logger = logging.getLogger("lm_eval")
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)
        # The bar over documents has no switch.
        bar = lm_eval.api.task.tqdm
        stack.callback(setattr, lm_eval.api.task, "tqdm", bar)
        lm_eval.api.task.tqdm = partial(bar, disable=True)
        if not are_progress_bars_disabled():
            stack.callback(show_bars)
            hide_bars()
        yield
