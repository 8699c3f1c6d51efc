"""Robustness: does a metric move where an attack teaches or loses nothing that unlearning hid?

Over unlearned models, each beside the retrained one: R under relearning, Q under quantisation, in
the two published forms (`analysis.attacks.robustness`), means over the models that count.  As
published, a model counts if it kept most of its utility and the metric takes it for unlearned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from unlearnbench.analysis.attacks.robustness import (
    quantisation_robustness,
    relearning_robustness,
    symmetric_quantisation_robustness,
    symmetric_relearning_robustness,
)
from unlearnbench.analysis.derived.aggregates import harmonic_mean
from unlearnbench.analysis.meta.measured import Measured, Model, Place, knowledge

LEAST_UTILITY = 0.8  # of the model before unlearning's
RELEARNING, QUANTISATION = "relearn", "quantise"
_UTILITY = (("derived", "relative_utility"), ("derived", "model_utility"))


@dataclass(frozen=True)
class Robustness:
    """Means over unlearned models; None where no model can say it."""

    relearning: float | None = None
    quantisation: float | None = None
    symmetric_relearning: float | None = None
    symmetric_quantisation: float | None = None
    n: int = 0  # unlearned models that count

    @property
    def aggregate(self) -> float | None:
        """HM(R, Q)."""
        return aggregate(self.relearning, self.quantisation)

    @property
    def symmetric_aggregate(self) -> float | None:
        """HM(R, Q) of the symmetric forms."""
        return aggregate(self.symmetric_relearning, self.symmetric_quantisation)


def aggregate(*parts: float | None) -> float | None:
    """The harmonic mean; None where a part is missing."""
    known = [part for part in parts if part is not None]
    return harmonic_mean(known) if len(known) == len(parts) else None


def robustness(measured: Measured, place: Place, threshold: float) -> Robustness:
    """Of one metric, which takes a model for one that knows above a threshold of knowledge."""
    counted = [
        model
        for model in useful(measured)
        if place in model.values
        and knowledge(measured.metrics[place], model.values[place]) <= threshold
    ]
    retrained = measured.of_pool("retrained")
    pairs = [
        (gain, other)
        for model in counted
        if (gain := _gain(measured, place, model)) is not None
        and (other := _gain(measured, place, *retrained)) is not None
    ]
    levels = [of for model in counted if (of := _levels(measured, place, model, QUANTISATION))]
    levels = levels if all(min(of) >= 0 for of in levels) else []  # a ratio needs a zero
    return Robustness(
        _mean([relearning_robustness(*pair) for pair in pairs]),
        _mean([quantisation_robustness(*of) for of in levels]),
        _mean([symmetric_relearning_robustness(*pair) for pair in pairs]),
        _mean([symmetric_quantisation_robustness(*of) for of in levels]),
        len(counted),
    )


def useful(measured: Measured) -> list[Model]:
    """The unlearned models that kept most of the utility; all where nothing says it of any."""
    unlearned = measured.of_pool("unlearned")
    shares = {model.name: relative_utility(measured, model) for model in unlearned}
    if all(share is None for share in shares.values()):
        return unlearned
    return [m for m in unlearned if (shares[m.name] or 0.0) >= LEAST_UTILITY]


def relative_utility(measured: Measured, model: Model) -> float | None:
    """Utility over that before unlearning; of model utility alone where fluency is not known."""
    relative, absolute = _UTILITY
    if relative in model.values:
        return model.values[relative]
    before = next((b.values.get(absolute) for b in measured.of_pool("before")), None)
    own = model.values.get(absolute)
    return own / before if own is not None and before else None


def _gain(measured: Measured, place: Place, *models: Model) -> float | None:
    """What relearning adds to the first model's knowledge."""
    levels = _levels(measured, place, models[0], RELEARNING) if models else None
    return levels[1] - levels[0] if levels else None


def _levels(
    measured: Measured, place: Place, model: Model, attack: str
) -> tuple[float, float] | None:
    """The model's knowledge before the attack and after it."""
    after = model.attacked.get(attack, {}).get(place)
    if after is None or place not in model.values:
        return None
    metric = measured.metrics[place]
    return knowledge(metric, model.values[place]), knowledge(metric, after)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
