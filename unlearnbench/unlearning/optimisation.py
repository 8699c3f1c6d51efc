"""One epoch's optimisation: the order of the rows, and the steps as a strategy takes them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.unlearning.steps import Steps

if TYPE_CHECKING:
    import torch
    from torch import nn

    from unlearnbench.models.language_model import LanguageModel


def seeded_generator(seed: int, purpose: str) -> "torch.Generator":
    """One generator per purpose, so that a method's draws do not move the order of rows."""
    import torch

    digest = sha256(f"{seed}:{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def shuffled_batches(
    rows: Sequence[int], batch_size: int, order: "torch.Generator"
) -> list[list[int]]:
    """One epoch: every row once, in a new order; the last batch may be smaller."""
    import torch

    shuffled = [rows[i] for i in torch.randperm(len(rows), generator=order).tolist()]
    return [shuffled[i : i + batch_size] for i in range(0, len(shuffled), batch_size)]


@contextmanager
def steps_for(model: "LanguageModel", learning_rate: float) -> Iterator[Steps]:
    """Steps as the model's strategy says; afterwards its network is whole and ordinary again."""
    steps: Steps
    if model.strategy.deepspeed is None:
        steps = Steps(model, learning_rate)
    else:
        from unlearnbench.unlearning.deepspeed_steps import deepspeed_steps

        steps = deepspeed_steps(model, learning_rate)
    try:
        with recomputing(steps.model):
            yield steps
    finally:
        steps.close()


@contextmanager
def recomputing(model: "LanguageModel") -> Iterator[None]:
    """Within, decoder layers keep only their inputs and are run again for their gradients.

    Only if the model's strategy asks for it.  Transformers' own switch works in training
    mode alone, where dropout is on; this is the same on the same layers in eval mode.
    Raises `UserError` for an architecture without such layers.
    """
    if not model.strategy.gradient_checkpointing:
        yield
        return
    from torch.utils.checkpoint import checkpoint

    layers = _layers(model)
    for layer in layers:
        # There is no dropout, so there is no random state to bring back either.
        once = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
        layer.forward = once
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _layers(model: "LanguageModel") -> "list[nn.Module]":
    from transformers.modeling_layers import GradientCheckpointingLayer

    decoder = model.network.get_decoder().modules()
    layers: list[nn.Module] = [m for m in decoder if isinstance(m, GradientCheckpointingLayer)]
    if not layers:
        raise UserError(
            f"{type(model.network).__name__} has no layers that can be run twice; "
            "leave out --gradient-checkpointing"
        )
    return layers
