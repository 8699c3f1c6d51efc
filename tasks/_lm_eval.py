"""Questions made by lm-eval's tasks, which say what is asked, and what is right."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import Dataset, are_progress_bars_disabled
from datasets import disable_progress_bars as hide_bars
from datasets import enable_progress_bars as show_bars
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

Pairs = tuple[tuple[str, str], ...]  # contexts and continuations


def make_questions(
    task_file: Path, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[int, Pairs, tuple[bool, ...]]]:
    """What lm-eval's task asks about each row, by its number, and which answers are right."""
    with _quiet():
        task = task_over(task_file, rows)
        return [(row, *_question(task, doc)) for row, doc in task.doc_iterator()]


def _question(task: ConfigurableTask, doc: Mapping[str, Any]) -> tuple[Pairs, tuple[bool, ...]]:
    context = task.fewshot_context(doc, num_fewshot=0, gen_prefix=task.doc_to_prefix(doc))
    instances = task.construct_requests(doc, context)
    if not isinstance(instances, list):  # of a word to be guessed
        instances = [instances]
    pairs = tuple(tuple(instance.args) for instance in instances)
    # What lm-eval would say to each answer a model can give; only which one is likeliest counts.
    likeliest = range(len(pairs)) if len(pairs) > 1 else range(-1, 1)
    answers = ([(float(i == best), i == best) for i in range(len(pairs))] for best in likeliest)
    accuracies = (task.process_results(doc, answer)["acc"] for answer in answers)
    return pairs, tuple(map(bool, accuracies))


def task_over(task_file: Path, rows: Sequence[Mapping[str, Any]]) -> ConfigurableTask:
    """The task that a file of lm-eval's kind defines, over rows in memory."""
    config = load_yaml(task_file)
    for index_entry in ("tag", "group"):  # of lm-eval's own catalogue of tasks
        config.pop(index_entry, None)
    documents = Dataset.from_list(list(rows))
    if prepare := config.pop("process_docs", None):
        documents = prepare(documents)  # once; the task would do it at every reading
    no_splits = dict.fromkeys(("training_split", "validation_split", "fewshot_split"))
    in_memory = {"custom_dataset": lambda **_: {"rows": documents}, "dataset_kwargs": None}
    return _RenderedOnce({**config, **no_splits, **in_memory, "test_split": "rows"})


class _RenderedOnce(ConfigurableTask):
    """Keeps what it has made of a document: each answer's metric asks for it again.

    lm-eval compiles a template whenever it renders it, for 0.15 ms.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._doc: Any = None
        self._parts: dict[str, Any] = {}
        super().__init__(config=dict(config))

    def doc_to_text(self, doc: Any, doc_to_text: Any = None) -> Any:
        return self._once(super().doc_to_text, doc, doc_to_text)

    def doc_to_target(self, doc: Any, doc_to_target: Any = None) -> Any:
        return self._once(super().doc_to_target, doc, doc_to_target)

    def doc_to_choice(self, doc: Any, doc_to_choice: Any = None) -> Any:
        return self._once(super().doc_to_choice, doc, doc_to_choice)

    def _once(self, render: Callable[..., Any], doc: Any, template: Any) -> Any:
        if doc is not self._doc:
            self._doc, self._parts = doc, {}
        part = f"{render.__name__} {template}"
        if part not in self._parts:
            self._parts[part] = render(doc, template)
        return self._parts[part]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence lm-eval's log, and the bars of `datasets`."""
    logger, bars = logging.getLogger("lm_eval"), not are_progress_bars_disabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    hide_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            show_bars()
