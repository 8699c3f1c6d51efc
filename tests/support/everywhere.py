"""Every gradient method, some in wrappers, trained the same way on whatever processes there are.

As a program, under a launcher of processes: `everywhere.py FILE [DEEPSPEED]` saves what the first
process ends with.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.models.devices import ranks
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.registry import find, methods
from unlearnbench.unlearning.gradient_method import GradientMethod

NEVER = StopLine(el=-1.0, ma=-1.0)
WRAPPED = ("icu+sam", "gd+gru", "npo+sure", "npo+lora", "gd+sam+lora")
# Seven rows in batches of three; alternates that are few tokens long.
SETTINGS: dict[str, dict[str, Any]] = {"altpo": {"n_alternates": 2, "max_new_tokens": 4}}


@dataclass(frozen=True)
class Trained:
    """What a training ended with."""

    losses: list[dict[str, float]]  # of each epoch, by term
    weights: dict[str, Tensor]


def gradient_methods() -> list[str]:
    """Every registered one, and some in wrappers."""
    plain = [name for name, kind in methods().items() if issubclass(kind, GradientMethod)]
    return [*plain, *WRAPPED]


def trained(name: str, strategy: Strategy) -> Trained:
    """Two epochs on seven rows of three lengths, with draws of retain items."""
    method = find("methods", name)(
        learning_rate=1e-3, batch_size=3, max_epochs=2, **SETTINGS.get(name, {})
    )
    model = tiny_model("llama")
    model.strategy = strategy
    rows = replace(
        forget_set(n_rows=7, lengths=(16, 11, 13), refusals=("t3 t4 t5", "t9")), pairing="random"
    )
    # The loop itself: what trl does with DPO is another test's.
    trace = GradientMethod.unlearn(method, model, rows, MaExaminer(NEVER))
    losses = [epoch.losses for epoch in trace.epochs[1:]]
    weights = {n: p.detach().clone() for n, p in model.network.named_parameters()}
    return Trained(losses, weights)


def every(strategy: Strategy, names: Sequence[str] = ()) -> dict[str, Trained]:
    """By method: those named, or all."""
    return {name: trained(name, strategy) for name in names or gradient_methods()}


def save_every(file: str | Path, deepspeed: str | None = None, names: Sequence[str] = ()) -> None:
    """Train with the processes that the environment tells of; the first one saves."""
    torch.set_num_threads(1)
    with ranks.together():
        made = every(Strategy(n_processes=ranks.world_size(), deepspeed=deepspeed), names)
        if ranks.is_first():
            torch.save({n: (one.losses, one.weights) for n, one in made.items()}, file)


if __name__ == "__main__":
    save_every(*sys.argv[1:])
