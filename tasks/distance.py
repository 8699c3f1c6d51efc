"""How far a model's predictions are from those of the model retrained without the forget set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.data.items import select
from unlearnbench.metrics.task import RETRAINED, Measurement, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric, Score
from unlearnbench.settings import setting

from ._splits import Column, SplitScores, first_of

if TYPE_CHECKING:
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences

_KL = Column("kl_to_retrained", "KL to retrained (nats)", "nats", 1.0, 3, high="far")
KL = Metric(
    "kl_to_retrained", "KL to retrained (nats)", False, unit="nats", decimals=3,
    in_score=False, leads=True, documents="rows",
)  # fmt: skip
MARGIN = Metric(
    "margin", "Margin (nats)", False, unit="nats", decimals=2, in_score=False, documents="rows"
)


@register
@dataclass(kw_only=True)
class Distance(Task):
    """KL divergence to the retrained model on the forget set, and on a benchmark's splits.

    In nats: the mean over rows of the mean over a row's tokens of KL[P_retrained || P], 0 for the
    retrained model itself.  A row's tokens are those that MA counts, an item's those of its
    answer; a benchmark whose splits ask for it is measured by them alone.  A row's mean margin,
    which KLOM is made of over several seeds, stands beside it.  The retrained model is loaded
    beside the measured one; without one nothing is measured.
    """

    name = "distance"
    source = "KL divergence of next-token distributions under teacher forcing; margin: 2410.23232"
    needs = (RETRAINED,)
    is_kept_by_forget_set = True
    measures = ("distance",)
    metrics = (KL, MARGIN)

    batch_size: int = setting(8, "rows or items that are scored at a time at most", minimum=1)

    def check_splits(self, model: "LanguageModel", splits: "Sequence[Split]") -> None:
        """Raise `UserError` for an item that does not fit the model."""
        from unlearnbench.metrics.items import check_items

        for split in select(splits, *self.measures):
            check_items(model, split)

    def measure(self, model: "LanguageModel", context: TaskContext) -> Measurement:
        """Nats by row, or by split and item; nothing where there is no retrained model."""
        collected = SplitScores()
        if context.load_retrained is None:
            return collected.measurement()
        retrained = context.load_retrained()
        retrained.meter = model.meter
        splits = first_of(context, self.measures)
        for split in splits:
            collected.add(split, _KL, self._nats(model, retrained, split))
        if splits:
            return collected.measurement()
        rows = context.forget_set.rows
        return self._of_rows(model, retrained, rows.select(range(len(rows))[: context.limit]))

    def _of_rows(
        self, model: "LanguageModel", retrained: "LanguageModel", rows: "Sequences"
    ) -> Measurement:
        from unlearnbench.metrics.distance import row_distances

        values = row_distances(model, retrained, rows, self.batch_size)
        by_metric = {
            metric.name: Score.of(
                dict(zip(rows.doc_ids, own, strict=True)), higher_is_better=metric.higher_is_better
            )
            for metric, own in zip(self.metrics, values, strict=True)
        }
        return Measurement(by_metric, metrics=self.metrics)

    def _nats(
        self, model: "LanguageModel", retrained: "LanguageModel", split: "Split"
    ) -> dict[str, float]:
        from unlearnbench.data.templates import encode_answers
        from unlearnbench.metrics.distance import answer_kl

        pairs = [(item.question, item.answer) for item in split.items]
        parts = encode_answers(model, split.template, pairs)
        where = [item.where for item in split.items]
        values = answer_kl(model, retrained, parts, where, self.batch_size)
        return dict(zip((item.doc_id for item in split.items), values, strict=True))
