"""Optimisation steps over a batch's parts: on one device, or shared by several processes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnbench.models.devices import ranks
from unlearnbench.models.devices.device import make_current
from unlearnbench.models.devices.shares import Part, own_parts
from unlearnbench.unlearning.batch import UnlearnBatch

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.reference import References

Loss = Callable[[UnlearnBatch], dict[str, Tensor]]


class Steps:
    """Adam on whole weights in every process; gradients are added up between them."""

    def __init__(self, model: "LanguageModel", learning_rate: float) -> None:
        self.model = model  # what is trained
        self.network: Callable[..., Any] | None = None  # what is called, if not its own network
        self._n_parts = model.strategy.gradient_accumulation_steps
        self._foreseen: frozenset[str] = frozenset()  # what the loss asked of a batch before
        make_current(model.device)
        self._optimizer = adam(model, learning_rate)

    def losses(
        self,
        loss: Loss,
        forget_set: "ForgetSet",
        batch: list[int],
        random: torch.Generator,
        references: "References",
    ) -> dict[str, float]:
        """The batch's loss terms by name, their gradients ready for `take`.

        Every part of the batch draws from `random` what the whole batch draws.
        """
        self._clear()
        parts = own_parts(batch, ranks.rank(), ranks.world_size(), self._n_parts)
        before = random.get_state() if len(parts) > 1 else None

        def own() -> dict[str, float]:
            sums: dict[str, float] = {}
            for number, part in enumerate(parts, 1):
                if number > 1 and before is not None:
                    random.set_state(before)
                values = self._part(
                    loss,
                    self._batch(forget_set, part, random, references),
                    part,
                    number == len(parts),
                )
                for name, value in values.items():
                    sums[name] = sums[name] + value if name in sums else value
            return sums

        return ranks.summed(own)

    def _batch(
        self,
        forget_set: "ForgetSet",
        part: Part,
        random: torch.Generator,
        references: "References",
    ) -> UnlearnBatch:
        return UnlearnBatch(
            self.model,
            forget_set,
            part.rows,
            random,
            references,
            self.network,
            part,
            self._foreseen,
        )

    def _part(self, loss: Loss, batch: UnlearnBatch, part: Part, is_last: bool) -> dict[str, float]:
        """Forward and backward over one part; what its terms add to those of the batch."""
        with nullcontext() if part.counts else self.model.not_counted(), self._precision():
            terms = loss(batch)
        self._foreseen |= batch.asked
        values = {name: float(weighed(term.detach(), part)) for name, term in terms.items()}
        self._backward(weighed(sum(terms.values()), part), is_last)
        return values

    def take(self) -> None:
        """One step of the optimizer, the same in every process."""
        ranks.sum_gradients(self.model.network.parameters())
        self._optimizer.step()

    def bring_home(self) -> None:
        """Put the trained weights into the network that is measured; here it is the same one."""

    def close(self) -> None:
        """Leave the network as an ordinary one."""

    def _clear(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)

    def _backward(self, loss: Any, is_last: bool) -> None:  # noqa: ARG002 (DeepSpeed asks)
        loss.backward()

    def _precision(self) -> AbstractContextManager[Any]:
        if self.model.strategy.mixed_precision == "no":
            return nullcontext()
        # A weight cast without gradients (theta_0's pass) must not be found again by one with.
        return torch.autocast(self.model.device.type, torch.bfloat16, cache_enabled=False)


def adam(model: "LanguageModel", learning_rate: float) -> torch.optim.Adam:
    """Every method's optimizer: betas 0.9, 0.98, no weight decay."""
    return torch.optim.Adam(
        model.network.parameters(), lr=learning_rate, betas=ADAM_BETAS, weight_decay=0.0
    )


def weighed(value: Any, part: Part) -> Any:
    """A part's mean as its share in the batch's; untouched where the part is the batch."""
    if part.is_whole:
        return value
    return value * part.weight if part.counts else _nothing_of(value)


def _nothing_of(value: Tensor) -> Tensor:
    # Zero, not NaN, for a row that only keeps step, and still something to go back through.
    return torch.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0) * 0.0


ADAM_BETAS = (0.9, 0.98)
