"""Perplexity on validation texts: Table I's Pile and WikiText columns."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unlearnbench.metrics.task import TEXTS, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric, Score, table_i
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

SUFFIX = "_ppl"


@register
@dataclass(kw_only=True)
class PerplexityTask(Task):
    """Perplexity on the Pile's and WikiText's validation documents, and on texts of one's own.

    A text of any other name is a column of its own, NAME_ppl; it is not one of the
    paper's metrics, so it is in no normalised score.
    """

    name = "perplexity"
    source = "documents joined by a blank line, non-overlapping windows, exp of the mean window NLL"
    is_of_model_alone = True
    needs = (TEXTS,)
    metrics = table_i("pile_ppl", "wikitext_ppl")

    window: int = setting(512, "tokens of a window; the model's context if that is shorter")

    def measure(self, model: "LanguageModel", context: TaskContext) -> dict[str, Score]:
        """Perplexity by text; `documents` holds each window's mean NLL in nats by its index."""
        scores = {}
        own = (metric.name.removesuffix(SUFFIX) for metric in self.metrics)
        for name in dict.fromkeys((*own, *context.texts)):
            documents = context.texts.get(name, ())
            if documents:
                scores[name + SUFFIX] = self._score(model, documents, context)
        return scores

    def measured(self, scores: Collection[str]) -> tuple[Metric, ...]:
        """The paper's two columns, then one per other text."""
        declared = {metric.name: metric for metric in self.metrics}
        return tuple(declared.get(name) or _of_other_text(name) for name in scores)

    def _score(
        self, model: "LanguageModel", documents: tuple[str, ...], context: TaskContext
    ) -> Score:
        from unlearnbench.metrics.perplexity import window_nll

        nll = window_nll(model, documents, self.window, context.batch_size, context.limit)
        by_window = {str(i): value for i, value in enumerate(nll)}
        return Score.of(by_window, aggregation="exp_mean", higher_is_better=False)


def _of_other_text(name: str) -> Metric:
    label = f"{name.removesuffix(SUFFIX)} (PPL)"
    return replace(table_i("pile_ppl")[0], name=name, label=label, in_score=False)
