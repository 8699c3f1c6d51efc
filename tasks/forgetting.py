"""What the model still knows of the forget set: Table I's first four columns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.metrics.task import Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric, Score

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.trace import RowRecord

# Where a metric's value stands in a row's record.
_FIELDS = {
    "el10": "el",
    "ma": "ma",
    "bertscore_f1": "bertscore_f1",
    "entropy": "entropy",
    "bleu": "bleu",
}


@register
@dataclass(kw_only=True)
class Forgetting(Task):
    """Extraction likelihood, memorisation accuracy, BERTScore, entropy, BLEU of the forget set."""

    name = "forgetting"
    source = "Jang et al. 2023, eqs. 7-9; Zhang et al. 2020; eq. 10"
    metrics = (
        Metric("el10", "EL10 (%)", higher_is_better=False, unit="%", scale=100.0),
        Metric("ma", "MA (%)", higher_is_better=False, unit="%", scale=100.0),
        Metric("bertscore_f1", "BERT (F1)", higher_is_better=False, unit="%", scale=100.0),
        Metric("entropy", "Entropy", higher_is_better=True, unit="bits", decimals=3),
        Metric("bleu", "BLEU (%)", higher_is_better=False, unit="%", scale=100.0, in_score=False),
    )

    def measure(self, model: "LanguageModel", context: TaskContext) -> dict[str, Score]:
        """Means over the forget set's rows as the examiner measures them, by doc_id.

        Raises `UserError` for a context without an examiner.
        """
        if context.examiner is None:
            raise UserError(
                "the task 'forgetting' needs an examiner: TaskContext(..., examiner=Examiner(...))"
            )
        rows = context.forget_set.rows
        if context.limit is not None:
            rows = rows.select(range(min(context.limit, len(rows))))
        records = context.examiner.examine(model, rows)
        scores = {metric.name: _score(metric, records) for metric in self.metrics}
        scores["bertscore_f1"].outputs = {r.doc_id: r.continuation for r in records}
        return scores


def _score(metric: Metric, records: Sequence["RowRecord"]) -> Score:
    values = {r.doc_id: float(getattr(r, _FIELDS[metric.name])) for r in records}
    spread = stdev(values.values()) if len(values) > 1 else None
    return Score(
        value=fmean(values.values()),
        stderr=None if spread is None else spread / math.sqrt(len(values)),
        n=len(values),
        higher_is_better=metric.higher_is_better,
        documents=values,
    )
