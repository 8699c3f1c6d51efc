"""What the model still knows of the forget set: Table I's first four columns."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.metrics.task import Measurement, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.record import ROW_FIELDS
from unlearnbench.results.score import Metric, Score, table_i
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

BLEU = Metric("bleu", "BLEU (%)", False, unit="%", scale=100.0, in_score=False, documents="rows")


@register
@dataclass(kw_only=True)
class Forgetting(Task):
    """Extraction likelihood, memorisation accuracy, BERTScore, entropy, BLEU of the forget set."""

    name = "forgetting"
    source = "Jang et al. 2023, eqs. 7-9; Zhang et al. 2020; eq. 10"
    metrics = (*table_i("el10", "ma", "bertscore_f1", "entropy"), BLEU)

    el_under_attack: bool = setting(
        False, "measure EL under attack, too, where it costs ten times what all else does"
    )

    def measure(self, model: "LanguageModel", context: TaskContext) -> Measurement:
        """Means over the forget set's rows as the examiner measures them, and what was written.

        Raises `UserError` for a context without an examiner.
        """
        if context.examiner is None:
            raise UserError(
                "the task 'forgetting' needs an examiner: TaskContext(..., examiner=Examiner(...))"
            )
        rows = context.forget_set.rows
        if context.limit is not None:
            rows = rows.select(range(min(context.limit, len(rows))))
        if context.under_attack and not self.el_under_attack:
            records = context.examiner.examine(model, rows, with_el=False)
        else:
            records = context.examiner.examine(model, rows)
        scores = {}
        for metric in self.metrics:
            values = {r.doc_id: float(getattr(r, ROW_FIELDS[metric.name])) for r in records}
            if not any(map(math.isnan, values.values())):  # BERTScore without a BERT, EL left out
                scores[metric.name] = Score.of(values, higher_is_better=metric.higher_is_better)
        return Measurement(scores, {r.doc_id: r.continuation for r in records})
