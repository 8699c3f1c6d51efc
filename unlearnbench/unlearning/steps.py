"""Optimisation: the order of rows, and steps over a batch's parts, in one process or several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from random import getstate, setstate
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unlearnbench.errors import UserError
from unlearnbench.models.devices import ranks
from unlearnbench.models.devices.device import make_current
from unlearnbench.models.devices.schedule import NO_LENGTH, RunLength
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.optimizer import clip, make_optimizer, rates
from unlearnbench.unlearning.parts import Part, own_parts

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.reference import References

_NOTED = "noted: "  # before the names of numbers that are no terms, on their way between processes

Loss = Callable[[UnlearnBatch], dict[str, Tensor]]


def seeded_generator(seed: int, purpose: str) -> torch.Generator:
    """One generator per purpose, so that a method's draws do not move the order of rows."""
    digest = sha256(f"{seed}:{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@contextmanager
def global_generators_kept() -> Iterator[None]:
    """Put Python's, NumPy's and torch's generators back: what runs inside may seed them."""
    python, numpy_state = getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        setstate(python)
        numpy.random.set_state(numpy_state)


def shuffled_batches(
    rows: Sequence[int], batch_size: int, order: torch.Generator
) -> list[list[int]]:
    """One epoch: every row once, in a new order; the last batch may be smaller."""
    shuffled = [rows[i] for i in torch.randperm(len(rows), generator=order).tolist()]
    return [shuffled[i : i + batch_size] for i in range(0, len(shuffled), batch_size)]


@dataclass(frozen=True)
class StepLosses:
    """What a batch's loss came to, over all its parts and processes."""

    terms: dict[str, float]  # weighted, by name; their sum is minimised
    noted: dict[str, float]  # what the loss noted beside them


class Steps:
    """Steps on whole weights in every process; gradients are added up between them.

    Optimizer, rates and clipping are those of the model's schedule, over a run of some `length`.
    """

    def __init__(
        self, model: "LanguageModel", learning_rate: float, length: RunLength = NO_LENGTH
    ) -> None:
        self.model = model  # what is trained
        self.network: Callable[..., Any] | None = None  # what is called, if not its own network
        self._n_parts = model.strategy.gradient_accumulation_steps
        self._foreseen: frozenset[str] = frozenset()  # what the loss asked of a batch before
        make_current(model.device)
        self._optimizer = make_optimizer(model, learning_rate)
        self._rates = rates(self._optimizer, model.strategy.schedule, length)

    def losses(
        self,
        loss: Loss,
        forget_set: "ForgetSet",
        batch: list[int],
        random: torch.Generator,
        references: "References",
        epoch: int = 1,
        step: int = 0,
    ) -> StepLosses:
        """The batch's loss terms, their gradients ready for `take`.

        Every part of the batch draws from `random` what the whole batch draws.
        """
        self._clear()
        parts = own_parts(batch, ranks.rank(), ranks.world_size(), self._n_parts)
        model, before = self.model, random.get_state()

        def of_part(part: Part) -> dict[str, float]:
            """Forward and backward; what the part's terms add to those of the batch."""
            random.set_state(before)
            own = UnlearnBatch(
                model,
                forget_set,
                part.rows,
                random,
                references,
                self.network,
                part,
                epoch,
                step,
                self._foreseen,
            )
            with nullcontext() if part.counts else model.not_counted(), self._precision():
                terms = loss(own)
            self._foreseen |= own.requested
            self._differentiate(part, terms, is_last=part is parts[-1])
            numbers = {**terms, **{_NOTED + name: value for name, value in own.noted.items()}}
            return {name: float(part.weighed(value.detach())) for name, value in numbers.items()}

        summed = ranks.summed(lambda: ranks.sum_by_name(map(of_part, parts)))
        noted = {n.removeprefix(_NOTED): v for n, v in summed.items() if n.startswith(_NOTED)}
        return StepLosses({n: v for n, v in summed.items() if not n.startswith(_NOTED)}, noted)

    def begin(
        self,
        loss: Loss,
        forget_set: "ForgetSet",
        batch_size: int,
        random: torch.Generator,
        references: "References",
    ) -> None:
        """Called once before the first batch; wrappers may look at the whole forget set."""

    def take(self) -> None:
        """One step of the optimizer, the same in every process."""
        ranks.sum_gradients(self.model.network.parameters())
        self._step()

    def _step(self) -> None:
        """Follow the gradients that the parameters have."""
        clip(self.model.network.parameters(), self.model.strategy.schedule.max_grad_norm)
        self._optimizer.step()
        self._next_rate()

    def _next_rate(self) -> None:
        if self._rates is not None:
            self._rates.step()

    def bring_home(self) -> None:
        """Put the trained weights into the network that is measured; here it is the same one."""

    def close(self) -> None:
        """Leave the network as an ordinary one."""

    def _clear(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)

    def _differentiate(self, part: Part, terms: dict[str, Tensor], is_last: bool) -> None:
        self._backward(part.weighed(sum(terms.values())), is_last)

    def _backward(self, loss: Any, is_last: bool) -> None:  # noqa: ARG002 (DeepSpeed asks)
        loss.backward()

    def _precision(self) -> AbstractContextManager[Any]:
        if self.model.strategy.mixed_precision == "no":
            return nullcontext()
        # A weight cast without gradients (theta_0's pass) must not be found again by one with.
        return torch.autocast(self.model.device.type, torch.bfloat16, cache_enabled=False)


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
    from transformers.modeling_layers import GradientCheckpointingLayer

    decoder = model.network.get_decoder().modules()
    layers: list[nn.Module] = [m for m in decoder if isinstance(m, GradientCheckpointingLayer)]
    if not layers:
        raise UserError(
            f"{type(model.network).__name__} has no layers that can be run twice; "
            "leave out --gradient-checkpointing"
        )
    for layer in layers:
        # There is no dropout, so there is no random state to bring back either.
        once = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
        layer.forward = once
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
