"""Perplexity on validation texts: Table I's Pile and WikiText columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.task import Metric, Score, Task, TaskContext

if TYPE_CHECKING:
    from unlearnbench.model import LanguageModel


@register
@dataclass(kw_only=True)
class PerplexityTask(Task):
    """Perplexity on the Pile's and WikiText's validation documents."""

    name = "perplexity"
    source = "documents joined by a blank line, non-overlapping windows, exp of the mean window NLL"
    metrics = (
        Metric("pile_ppl", "Pile (PPL)", higher_is_better=False, capped=True),
        Metric("wikitext_ppl", "WikiText (PPL)", higher_is_better=False, capped=True),
    )

    window: int = setting(512, "tokens of a window; the model's context if that is shorter")

    def measure(self, model: "LanguageModel", context: TaskContext) -> dict[str, Score]:
        """Perplexity by text; `documents` holds each window's mean NLL in nats by its index."""
        scores = {}
        for metric in self.metrics:
            documents = context.texts.get(metric.name.removesuffix("_ppl"), ())
            if documents:
                scores[metric.name] = self._score(model, documents[: context.limit], context)
        return scores

    def _score(
        self, model: "LanguageModel", documents: tuple[str, ...], context: TaskContext
    ) -> Score:
        from unlearnbench.metrics.perplexity import perplexity

        found = perplexity(model, documents, self.window, context.batch_size)
        return Score(
            value=found.value,
            stderr=found.stderr,
            n=found.n,
            higher_is_better=False,
            documents={str(i): nll for i, nll in enumerate(found.window_nll)},
        )
