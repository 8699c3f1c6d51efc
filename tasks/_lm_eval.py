"""The one place where lm-eval is touched: its tasks, over rows and a network in memory."""

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lm_eval.api.task
import numpy as np
from datasets import Dataset, are_progress_bars_disabled
from datasets import disable_progress_bars as hide_bars
from datasets import enable_progress_bars as show_bars
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.evaluation_sets import EvaluationSet
    from unlearnbench.model import LanguageModel

Style = Literal["lm_eval", "plain"]

# lm-eval's own definition of each set's task, under its folder `tasks`.
BUILT_IN = {
    "hellaswag": "hellaswag/hellaswag.yaml",
    "lambada": "lambada/lambada_openai.yaml",
    "winogrande": "winogrande/default.yaml",
    "copa": "super_glue/copa/default.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "piqa": "piqa/piqa.yaml",
    "mathqa": "mathqa/mathqa.yaml",
    "pubmedqa": "pubmedqa/pubmedqa.yaml",
}
_NO_LIKELIHOOD = (0.0, False)  # of what cannot be scored; its document is dropped
_MAX_LOADED = 2 * len(BUILT_IN)
_loaded: dict[tuple[Any, ...], ConfigurableTask] = {}


@dataclass(frozen=True)
class Answer:
    """What the model answered to one document."""

    row: Mapping[str, Any]  # of the evaluation set
    is_correct: bool
    choice: int | None  # position of the likeliest choice; None where there are no choices
    text: str  # of that choice as it was scored, or what was to be continued with


def task_file(name: str, style: Style) -> Path:
    """The task file of a set: lm-eval's own, or that of the released plain prompts."""
    if style == "plain":
        return Path(__file__).parent / "plain_prompts" / f"{name}.yaml"
    return Path(lm_eval.__file__).parent / "tasks" / BUILT_IN[name]


def answers(
    model: "LanguageModel",
    sets: Mapping[str, "EvaluationSet"],
    style: Style,
    batch_size: int,
    limit: int | None,
) -> dict[str, list[Answer]]:
    """The model's answers by set, scored by lm-eval over the network as it is in memory.

    A document with a choice that does not fit the model's context, or has no token of its
    own, cannot be scored and is left out.
    """
    with _quiet():
        tasks = {name: _task(found, style, limit) for name, found in sets.items()}
        scorer = _Scorer(model, batch_size)
        # No bootstrap: standard errors are those of means. No cache: it is not keyed by model.
        scored = evaluate(scorer, {"tasks": tasks}, bootstrap_iters=0, log_samples=True)
    return {
        name: [
            _answer(found.rows[sample["doc_id"]], sample)
            for sample in scored["samples"][name]
            if scorer.unscorable.isdisjoint(map(tuple, sample["arguments"]))
        ]
        for name, found in sets.items()
    }


def _answer(row: Mapping[str, Any], sample: Mapping[str, Any]) -> Answer:
    likelihoods = [likelihood for likelihood, _ in sample["filtered_resps"]]
    best = int(np.argmax(likelihoods))  # as lm-eval chooses: the first of equal ones
    text = sample["arguments"][best][1].strip()
    choice = best if len(likelihoods) > 1 else None
    return Answer(row, bool(sample["acc"]), choice, text)


class _Scorer(HFLM):
    """lm-eval's interface to a Hugging Face model, around a network that is loaded already."""

    def __init__(self, model: "LanguageModel", batch_size: int) -> None:
        tokenizer = model.tokenizer
        if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
            raise UserError(
                f"{model.source.name}'s tokenizer has neither a first nor a last token; lm-eval "
                "needs one of them: set bos_token or eos_token in tokenizer_config.json"
            )
        if tokenizer.pad_token_id is None:
            tokenizer = copy.deepcopy(tokenizer)  # HFLM gives it a padding token
        super().__init__(pretrained=model.network, tokenizer=tokenizer, batch_size=batch_size)
        self.unscorable: set[tuple[str, str]] = set()

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        return super().loglikelihood(requests, disable_tqdm)

    def _loglikelihood_tokens(self, requests: Any, *more: Any, **named: Any) -> Any:
        fits = [len(start) > 0 and 0 < len(end) <= self.max_length for _, start, end in requests]
        fitting = [request for request, fit in zip(requests, fits, strict=True) if fit]
        scored = iter(super()._loglikelihood_tokens(fitting, *more, **named))
        self.unscorable |= {r[0] for r, fit in zip(requests, fits, strict=True) if not fit}
        return [next(scored) if fit else _NO_LIKELIHOOD for fit in fits]


def _task(found: "EvaluationSet", style: Style, limit: int | None) -> ConfigurableTask:
    """lm-eval's task over the set's rows; kept, as it is the same for every model."""
    key = (found.name, found.sha256, style, limit)
    if key not in _loaded:
        while len(_loaded) >= _MAX_LOADED:
            del _loaded[next(iter(_loaded))]
        _loaded[key] = _load(found, style, limit)
    return _loaded[key]


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
def _quiet() -> Iterator[None]:
    """Silence lm-eval's logs and bars, and tokenizers' remarks on long texts."""
    with ExitStack() as stack:
        for name in ("lm_eval", "transformers.tokenization_utils_base"):
            logger = logging.getLogger(name)
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
