"""What a model says of the answers in a benchmark's splits, when it is shown them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.data.items import select
from unlearnbench.metrics.task import SPLITS, Measurement, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric
from unlearnbench.settings import setting

from ._splits import Column, SplitScores, first_of

if TYPE_CHECKING:
    from unlearnbench.data.items import Split
    from unlearnbench.metrics.answers import ItemReading, Part
    from unlearnbench.models.language_model import LanguageModel

# What each measure of a split needs of an item beside its answer.
_PARTS: "dict[str, tuple[Part, ...]]" = {
    "probability": (),
    "probability_normalised": ("wrong",),
    "paraphrase": ("paraphrases",),
    "wrong": ("wrong",),
    "extraction_strength": (),
    "exact_memorisation": (),
    "margin": (),
}


@register
@dataclass(kw_only=True)
class Answers(Task):
    """Probability, extraction strength and the like of answers; each text is read once."""

    name = "answers"
    source = (
        "Maini et al. 2024 (TOFU); Carlini et al. 2023; Tirumala et al. 2022; Rinberg et al. 2024"
    )
    needs = (SPLITS,)
    measures = tuple(_PARTS)
    runs_by_default: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = ()  # by split

    batch_size: int = setting(
        8, "texts that are read at a time at least; more where memory allows", minimum=1
    )
    extraction_floor: Literal["zero", "released"] = setting(
        "zero",
        "extraction strength of an answer whose last token is wrong: 0, or the 1/T of "
        "OpenUnlearning's code, as if the last token were right",
    )

    def check_splits(self, model: "LanguageModel", splits: "Sequence[Split]") -> None:
        """Raise `UserError` for an item that lacks what is asked, or does not fit the model."""
        from unlearnbench.metrics.items import check_items

        for split in select(splits, *self.measures):
            check_items(model, split, parts_of(split))

    def measure(self, model: "LanguageModel", context: TaskContext) -> Measurement:
        """The columns that the splits ask for, named after split and measure."""
        from unlearnbench.metrics.answers import read_items

        splits = first_of(context, self.measures)
        wanted = [(split, parts_of(split)) for split in splits]
        collected = SplitScores()
        for split, readings in zip(splits, read_items(model, wanted, self.batch_size), strict=True):
            for column, value in self._columns(split):
                collected.add(split, column, {r.item.doc_id: value(r) for r in readings})
        return collected.measurement()

    def _columns(self, split: "Split") -> "Iterable[tuple[Column, Callable[[ItemReading], float]]]":
        from unlearnbench.metrics import answer_formulas as formulas

        def wrong(reading: "ItemReading") -> list[float]:
            return [formulas.probability(each.log_probability) for each in reading.wrong]

        def right(reading: "ItemReading") -> float:
            return formulas.probability(reading.answer.log_probability)

        if split.asks("probability"):
            yield Column("probability", "probability (%)"), right
        if split.asks("probability_normalised"):
            yield (
                Column("probability_normalised", "normalised probability (%)"),
                lambda r: formulas.normalised_probability(right(r), wrong(r)),
            )
        if split.asks("paraphrase"):
            yield (
                Column("paraphrase_probability", "paraphrase's probability (%)"),
                lambda r: formulas.arithmetic_probability(
                    [each.log_probability for each in r.paraphrases]
                ),
            )
        if split.asks("wrong"):
            yield (
                Column("wrong_probability", "wrong answers' probability (%)", high="unknown"),
                lambda r: formulas.geometric_probability([w.log_probability for w in r.wrong]),
            )
            yield (
                Column(
                    "wrong_probability_arithmetic",
                    "wrong answers' mean probability (%)",
                    high="unknown",
                ),
                lambda r: formulas.arithmetic_probability([w.log_probability for w in r.wrong]),
            )
        if split.asks("extraction_strength"):
            yield (
                Column("extraction_strength", "extraction strength (%)"),
                lambda r: formulas.extraction_strength(
                    r.answer.is_greedy_without_end, self.extraction_floor
                ),
            )
        if split.asks("exact_memorisation"):
            yield (
                Column("exact_memorisation", "exact memorisation (%)"),
                lambda r: formulas.exact_memorisation(r.answer.is_greedy_without_end),
            )
        if split.asks("margin"):
            yield (
                Column("margin", "margin", unit="nats", scale=1.0, decimals=2),
                lambda r: float(r.answer.margin.mean()),
            )


def parts_of(split: "Split") -> "tuple[Part, ...]":
    """What the measures of a split need of its items beside their answers."""
    needed = [part for name, parts in _PARTS.items() if split.asks(name) for part in parts]
    return tuple(dict.fromkeys(needed))
