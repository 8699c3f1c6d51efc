"""How far a model's predictions are from those of the model retrained without the forget set."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.data.items import select
from unlearnbench.metrics.task import RETRAINED, SPLITS, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric, Score
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel

MEASURE, SUFFIX = "distance", "_kl_to_retrained"


@register
@dataclass(kw_only=True)
class Distance(Task):
    """KL divergence to the retrained model on the answers' tokens, per split of a benchmark.

    Mean over items of the mean over an answer's tokens of KL[P_retrained || P], in nats: 0 for
    the retrained model itself.  The retrained model is loaded beside the measured one.
    """

    name = "distance"
    source = (
        "KL divergence of next-token distributions, teacher-forced; no published form is assumed"
    )
    needs = (SPLITS, RETRAINED)
    measures = (MEASURE,)
    metrics = ()
    runs_by_default = False

    batch_size: int = setting(8, "items that are scored at a time at most", minimum=1)

    def check_splits(self, model: "LanguageModel", splits: "Sequence[Split]") -> None:
        """Raise `UserError` for an item that does not fit the model."""
        from unlearnbench.metrics.items import check_items

        for split in select(splits, *self.measures):
            check_items(model, split)

    def measure(self, model: "LanguageModel", context: TaskContext) -> dict[str, Score]:
        """Nats by split; nothing where there is no retrained model."""
        splits = [split for split in context.splits if split.asks(MEASURE)]
        if context.load_retrained is None or not splits:
            return {}
        retrained = context.load_retrained()
        retrained.meter = model.meter
        return {
            split.name + SUFFIX: self._score(model, retrained, split.first(context.limit))
            for split in splits
        }

    def _score(self, model: "LanguageModel", retrained: "LanguageModel", split: "Split") -> Score:
        from unlearnbench.data.templates import encode_answers
        from unlearnbench.metrics.distance import answer_kl

        pairs = [(item.question, item.answer) for item in split.items]
        parts = encode_answers(model, split.template, pairs)
        where = [item.where for item in split.items]
        values = answer_kl(model, retrained, parts, where, self.batch_size)
        by_item = {item.doc_id: nats for item, nats in zip(split.items, values, strict=True)}
        return Score.of(by_item, higher_is_better=False)

    def measured(self, scores: Collection[str]) -> tuple[Metric, ...]:
        """One column a split."""
        titles = {name: name.removesuffix(SUFFIX).replace("_", " ").capitalize() for name in scores}
        return tuple(
            Metric(
                name,
                f"{titles[name]} KL to retrained (nats)",
                False,
                unit="nats",
                decimals=3,
                in_score=False,
                documents="rows" if name.startswith("forget") else "sets",
            )
            for name in scores
        )
