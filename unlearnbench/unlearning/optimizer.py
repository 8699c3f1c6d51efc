"""The optimizer of a run, its learning rate from step to step, and the clipping of gradients."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unlearnbench.models.devices.schedule import RunLength, Schedule

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler

    from unlearnbench.models.language_model import LanguageModel

ADAM_BETAS = (0.9, 0.98)


def adam(model: "LanguageModel", learning_rate: float) -> torch.optim.Adam:
    """The paper's optimizer: betas 0.9, 0.98, no weight decay."""
    parameters = trained(model.network.parameters())
    return torch.optim.Adam(parameters, lr=learning_rate, betas=ADAM_BETAS, weight_decay=0.0)


def make_optimizer(model: "LanguageModel", learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer that the model's schedule names, over the parameters that are trained.

    AdamW decays weight matrices alone: biases and the weights of norms, which are vectors, are left
    out as transformers' trainer leaves them out.
    """
    schedule = model.strategy.schedule
    if schedule.optimizer == "adam":
        return adam(model, learning_rate)
    groups: list[dict[str, Any]] = [{"params": trained(model.network.parameters())}]
    if schedule.weight_decay:
        vectors = [p for p in groups[0]["params"] if p.ndim < 2]
        matrices = [p for p in groups[0]["params"] if p.ndim >= 2]
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=learning_rate,
        weight_decay=schedule.weight_decay,
    )


def trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that have a gradient."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def rates(
    optimizer: torch.optim.Optimizer, schedule: Schedule, length: RunLength
) -> "LRScheduler | None":
    """Sets the optimizer's rate and, at each `step()`, that of the next step; None: it is constant.

    These are transformers' schedules, so that the first of w warm-up steps has the rate 0 and step
    w + 1 the whole one.
    """
    name = schedule.lr_schedule
    if name == "constant" and not length.n_warmup:
        return None
    from transformers import get_scheduler

    return get_scheduler(
        "constant_with_warmup" if name == "constant" else name,
        optimizer,
        num_warmup_steps=length.n_warmup,
        num_training_steps=length.n_steps,
    )


def clip(parameters: Iterable[nn.Parameter], max_norm: float | None) -> None:
    """Scale gradients down, in place, to a global 2-norm of at most `max_norm`."""
    if max_norm is not None:
        nn.utils.clip_grad_norm_(trained(parameters), max_norm)
