"""Metrics of splits as columns, declared as the tasks that measure them here declare them."""

from dataclasses import dataclass

from unlearnbench.results.score import Metric


@dataclass(frozen=True)
class Measure:
    """What is measured of a split's items, as the tasks that measure it declare it."""

    ending: str  # of the metric's name, behind the split's
    label: str
    unit: str = "%"
    scale: float = 100.0
    decimals: int = 1
    high_is_unknown: bool = False  # a high value says that the model does not know the item


_MEASURES = (
    Measure("probability_normalised", "normalised probability (%)"),
    Measure("paraphrase_probability", "paraphrase's probability (%)"),
    Measure(
        "wrong_probability_arithmetic", "wrong answers' mean probability (%)", high_is_unknown=True
    ),
    Measure("wrong_probability", "wrong answers' probability (%)", high_is_unknown=True),
    Measure("probability", "probability (%)"),
    Measure("extraction_strength", "extraction strength (%)"),
    Measure("exact_memorisation", "exact memorisation (%)"),
    Measure("rouge_l_recall", "ROUGE-L recall (%)"),
    Measure("rouge_l_f1", "ROUGE-L F1 (%)"),
    Measure("loss", "loss", "nats", 1.0, 3, True),
    Measure("zlib", "loss over zlib bytes", "", 1.0, 5, True),
    Measure("min_k_plus_plus", "Min-K++", "", 1.0, 3, True),
    Measure("min_k", "Min-K", "nats", 1.0, 3, True),
    Measure("gradient_norm", "gradient norm", "", 1.0, 3, True),
    Measure("reference", "loss over the reference's", "nats", 1.0, 3, True),
)


def metric_of(task: str, name: str) -> Metric:
    """The column of a metric, as the task that measures it here declares it."""
    measure = _measure_of(name)
    if measure is None:
        label = name.replace("_", " ").capitalize()
        is_accuracy = name.endswith(("_accuracy", "_accuracy_normalised"))
        scale = 100.0 if is_accuracy else 1.0
        return Metric(name, f"{label} (%)" if is_accuracy else label, True, task=task, scale=scale,
                      unit="%" if is_accuracy else "", in_score=False)  # fmt: skip
    split = name.removesuffix("_" + measure.ending)
    is_to_go = split.startswith(("forget", "holdout"))
    return Metric(
        name,
        f"{split.replace('_', ' ').capitalize()} {measure.label}",
        higher_is_better=measure.high_is_unknown == is_to_go,
        unit=measure.unit,
        scale=measure.scale,
        decimals=measure.decimals,
        in_score=False,
        documents="rows" if is_to_go else "sets",
        task=task,
        judges="forgetting" if split.startswith("forget") else "utility",
    )


def split_of(name: str) -> str:
    """The split that a metric is of: 'forget_knowmem' of 'forget_knowmem_rouge_l_f1'."""
    measure = _measure_of(name)
    return name.removesuffix("_" + measure.ending) if measure else name


def _measure_of(name: str) -> Measure | None:
    return next((measure for measure in _MEASURES if name.endswith("_" + measure.ending)), None)
