"""Whether a model seems to have been trained on a text: scores of the field's attacks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.data.items import select
from unlearnbench.metrics.task import SPLITS, Measurement, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric
from unlearnbench.settings import setting

from ._splits import Column, SplitScores, first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unlearnbench.data.items import Split
    from unlearnbench.metrics.answers import ItemReading
    from unlearnbench.models.language_model import LanguageModel


def _column(name: str, label: str, unit: str = "nats", decimals: int = 3) -> Column:
    return Column(name, label, unit, 1.0, decimals, high="unknown")


_LOSS = _column("loss", "loss")
_ZLIB = _column("zlib", "loss over zlib bytes", "", 5)
_MIN_K = _column("min_k", "Min-K")
_MIN_K_PLUS_PLUS = _column("min_k_plus_plus", "Min-K++", "")
_GRADIENT_NORM = _column("gradient_norm", "gradient norm", "")


@register
@dataclass(kw_only=True)
class Membership(Task):
    """Loss, zlib, Min-K, Min-K++ and gradient norm per item: high for what was not trained on."""

    name = "membership"
    source = (
        "Yeom et al. 2018; Carlini et al. 2021; Shi et al. 2024 (Min-K, MUSE); Zhang et al. 2024 "
        "(Min-K++)"
    )
    needs = (SPLITS,)
    measures = ("membership",)
    runs_by_default: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = ()  # by split

    batch_size: int = setting(
        8, "texts that are read at a time at least; more where memory allows", minimum=1
    )
    k: float = setting(
        0.4, "share of the tokens, the least likely ones, of Min-K and Min-K++", above=0, maximum=1
    )
    gradient_norm: bool = setting(
        False, "measure the gradient norm too: a forward and a backward pass more for each item"
    )

    def check_splits(self, model: "LanguageModel", splits: "Sequence[Split]") -> None:
        """Raise `UserError` for an item that does not fit the model."""
        from unlearnbench.metrics.items import check_items

        for split in select(splits, *self.measures):
            check_items(model, split)

    def measure(self, model: "LanguageModel", context: TaskContext) -> Measurement:
        """The scores of each split that asks for 'membership', by item."""
        from unlearnbench.metrics.answers import read_items

        splits = first_of(context, self.measures)
        every = read_items(model, [(split, ()) for split in splits], self.batch_size)
        collected = SplitScores()
        for split, readings in zip(splits, every, strict=True):
            for column, value in self._scores():
                collected.add(split, column, {r.item.doc_id: value(r) for r in readings})
            if self.gradient_norm:
                from unlearnbench.metrics.gradient_norm import gradient_norms

                norms = gradient_norms(model, [reading.encoded for reading in readings])
                by_item = zip((r.item.doc_id for r in readings), norms, strict=True)
                collected.add(split, _GRADIENT_NORM, dict(by_item))
        return collected.measurement()

    def _scores(self) -> "list[tuple[Column, Callable[[ItemReading], float]]]":
        from unlearnbench.metrics import answer_formulas as formulas

        def min_k_plus_plus(reading: "ItemReading") -> float:
            of = reading.answer
            z = formulas.standardised(of.log_probability, of.mean, of.variance)
            return formulas.min_k(z, self.k)

        return [
            (_LOSS, lambda r: formulas.loss_score(r.answer.log_probability)),
            (_ZLIB, lambda r: formulas.zlib_score(r.answer.log_probability, r.item.answer)),
            (_MIN_K, lambda r: formulas.min_k(r.answer.log_probability, self.k)),
            (_MIN_K_PLUS_PLUS, min_k_plus_plus),
        ]
