"""How far a model's predictions are from those of the model retrained without the forget set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.data.items import select
from unlearnbench.metrics.task import RETRAINED, SPLITS, Measurement, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.settings import setting

from ._splits import Column, SplitScores, first_of

if TYPE_CHECKING:
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel

_KL = Column("kl_to_retrained", "KL to retrained (nats)", "nats", 1.0, 3, high="far")


@register
@dataclass(kw_only=True)
class Distance(Task):
    """KL divergence to the retrained model on the answers' tokens, per split of a benchmark.

    Mean over items of the mean over an answer's tokens of KL[P_retrained || P], in nats: 0 for
    the retrained model itself.  The retrained model is loaded beside the measured one.
    """

    name = "distance"
    source = "KL divergence of next-token distributions under teacher forcing"
    needs = (SPLITS, RETRAINED)
    measures = ("distance",)
    metrics = ()
    runs_by_default = False

    batch_size: int = setting(8, "items that are scored at a time at most", minimum=1)

    def check_splits(self, model: "LanguageModel", splits: "Sequence[Split]") -> None:
        """Raise `UserError` for an item that does not fit the model."""
        from unlearnbench.metrics.items import check_items

        for split in select(splits, *self.measures):
            check_items(model, split)

    def measure(self, model: "LanguageModel", context: TaskContext) -> Measurement:
        """Nats by split and item; nothing where there is no retrained model."""
        collected = SplitScores()
        splits = first_of(context, self.measures)
        if context.load_retrained is None or not splits:
            return collected.measurement()
        retrained = context.load_retrained()
        retrained.meter = model.meter
        for split in splits:
            collected.add(split, _KL, self._nats(model, retrained, split))
        return collected.measurement()

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
