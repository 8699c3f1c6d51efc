"""Costs of a cell that several processes train: what all compute alike counts once."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from unlearnbench.models.devices import ranks
from unlearnbench.models.devices.meter import Meter, PhaseCost

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


@contextmanager
def counted_once(model: "LanguageModel") -> Iterator[None]:
    """Within, what every process computes for itself is counted in the first one only."""
    with nullcontext() if ranks.rank() == 0 else not_counted(model):
        yield


@contextmanager
def not_counted(model: "LanguageModel") -> Iterator[None]:
    """Within, forward passes are no cost of the cell."""
    meter, model.meter = model.meter, Meter()
    try:
        yield
    finally:
        model.meter = meter


def sum_costs(model: "LanguageModel | None") -> None:
    """A cell's costs: tokens of all processes, time and memory of the one that took most."""
    if model is None or ranks.world_size() == 1:
        return
    total: dict[str, PhaseCost] = {}
    for part in ranks.gathered(lambda: model.meter.phases):
        for name, cost in part.items():
            total[name] = _added(total[name], cost) if name in total else replace(cost)
    model.meter.phases = total


def _added(one: PhaseCost, other: PhaseCost) -> PhaseCost:
    return PhaseCost(
        forward_tokens=one.forward_tokens + other.forward_tokens,
        generated_tokens=one.generated_tokens + other.generated_tokens,
        seconds=max(one.seconds, other.seconds),
        peak_memory_bytes=max(one.peak_memory_bytes, other.peak_memory_bytes),
    )
