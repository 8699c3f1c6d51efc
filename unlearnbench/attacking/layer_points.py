"""What is read off a layer of what was to be forgotten, as a point of an attack's curve."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from unlearnbench.attacking.attack import Point
from unlearnbench.metrics.task import Measurement
from unlearnbench.results.score import Metric, Score

if TYPE_CHECKING:
    from unlearnbench.attacking.spans import TokenMeans
    from unlearnbench.models.language_model import LanguageModel

PROBABILITY = Metric(
    "probability", "Probability (%)", False, unit="%", scale=100.0, in_score=False, documents="rows"
)
ACCURACY = Metric(
    "accuracy", "Accuracy (%)", False, unit="%", scale=100.0, in_score=False, documents="rows"
)


def point_of(
    layer: int,
    model: "LanguageModel",
    read: "Mapping[str, TokenMeans]",
    facts: Mapping[str, float] | None = None,
) -> Point:
    """Of each answer exp(mean log P) of its tokens, and the share that is the likeliest token."""
    values = {
        PROBABILITY: {doc_id: math.exp(of.log_probability) for doc_id, of in read.items()},
        ACCURACY: {doc_id: of.is_greedy for doc_id, of in read.items()},
    }
    scores = {metric.name: Score.of(of, higher_is_better=False) for metric, of in values.items()}
    return Point(
        f"layer={layer}",
        f"layer {layer}",
        model,
        position=layer,
        measured=Measurement(scores, metrics=tuple(values)),
        facts=facts or {},
    )
