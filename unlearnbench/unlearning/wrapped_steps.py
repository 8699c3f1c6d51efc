"""Steps whose gradients go through wrappers before the optimizer sees them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnbench.models.devices import ranks
from unlearnbench.unlearning.steps import Loss, StepLosses, Steps
from unlearnbench.unlearning.wrapper import Gradient, Gradients, Wrapper, weights_moved

if TYPE_CHECKING:
    from torch import nn

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.unlearning.parts import Part
    from unlearnbench.unlearning.reference import References


@dataclass(frozen=True)
class Wrapping:
    """The wrappers of a training, and which terms of the loss keep instead of forgetting."""

    wrappers: Sequence[Wrapper]
    retain_terms: frozenset[str]

    @property
    def changes_gradients(self) -> bool:
        """Whether steps must be taken the longer way."""
        return any(w.changes_gradients for w in self.wrappers)


@dataclass
class _Sides:
    """Gradients of both sides of a loss; None where nothing was added yet."""

    forget: list[Tensor | None]
    retain: list[Tensor | None]
    has_retain: bool = False


class WrappedSteps(Steps):
    """Gradients of both sides of the loss, through the wrappers, and then one step.

    The losses that are recorded are those where the step begins.
    """

    wrapping: Wrapping  # set by whoever makes the steps

    def begin(
        self,
        loss: Loss,
        forget_set: "ForgetSet",
        batch_size: int,
        random: torch.Generator,
        references: "References",
    ) -> None:
        """Show the wrappers that ask for it the gradients of the whole forget set.

        The mean over the batches of `batch_size` rows in the set's order, each weighed by its rows.
        What a loss draws for it is drawn again in the training.
        """
        asking = [w for w in self.wrapping.wrappers if w.changes_gradients and w.wants_whole]
        if not asking:
            return
        rows, before = list(range(len(forget_set.rows))), random.get_state()
        total = self._no_sides()
        for batch in (rows[i : i + batch_size] for i in range(0, len(rows), batch_size)):

            def compute(batch: list[int] = batch) -> None:
                super(WrappedSteps, self).losses(loss, forget_set, batch, random, references)

            sides = self._evaluated(compute)
            _add(total.forget, sides.forget, len(batch) / len(rows))
            _add(total.retain, sides.retain, len(batch) / len(rows))
            total.has_retain |= sides.has_retain
        random.set_state(before)
        whole = self._fixed(total)
        for wrapper in asking:
            wrapper.begin(whole)

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
        """The batch's loss terms; their gradients are split by side."""
        before, evaluated = random.get_state(), []

        def compute() -> None:
            random.set_state(before)  # the same draws however often the batch is gone through
            evaluated.append(
                super(WrappedSteps, self).losses(
                    loss, forget_set, batch, random, references, epoch, step
                )
            )

        self._again: Callable[[], None] = compute
        self._here: _Sides | None = self._evaluated(compute)
        return evaluated[0]

    def take(self) -> None:
        """One step of the optimizer along what the wrappers make of the gradients."""
        here = self._here
        assert here is not None
        gradients = self._at_the_batch(here)
        for wrapper in self.wrapping.wrappers:
            gradients = wrapper.wrap(gradients)
        total: list[Tensor | None] = list(gradients.total())
        for i, (f, r) in enumerate(zip(here.forget, here.retain, strict=True)):
            if f is None and r is None:
                total[i] = None  # the loss does not depend on it: it is left alone
        self._here = None
        with _held_still(gradients.parameters, gradients.trained):
            self._follow(_masked(total, gradients.trained))

    def _follow(self, gradient: Sequence[Tensor | None]) -> None:
        """One step of the optimizer along a gradient that is the same in every process."""
        for p, g in zip(self._trained, gradient, strict=True):
            p.grad = g
        self._step()

    @property
    def _trained(self) -> "list[nn.Parameter]":
        return [p for p in self.model.network.parameters() if p.requires_grad]

    def _at_the_batch(self, here: _Sides) -> Gradients:
        is_moved = False

        @contextmanager
        def moved(by: Gradient) -> Iterator[None]:
            nonlocal is_moved
            outer, is_moved = is_moved, True
            try:
                with weights_moved(parameters, by):
                    yield
            finally:
                is_moved = outer

        def side(name: str) -> Gradient:
            sides = self._evaluated(self._again, only=name) if is_moved else here
            return _filled(getattr(sides, name), parameters)

        parameters = self._trained
        return Gradients(
            parameters, lambda: side("forget"), lambda: side("retain"), here.has_retain, moved
        )

    def _fixed(self, sides: _Sides) -> Gradients:
        """Gradients that are known already, where the weights stay as they are."""
        parameters = self._trained

        def moved(_by: Gradient) -> AbstractContextManager[None]:
            raise RuntimeError("the whole forget set's gradients are known at one place alone")

        forget, retain = (_filled(side, parameters) for side in (sides.forget, sides.retain))
        return Gradients(parameters, lambda: forget, lambda: retain, sides.has_retain, moved)

    def _no_sides(self) -> _Sides:
        n = len(self._trained)
        return _Sides([None] * n, [None] * n)

    def _evaluated(self, compute: Callable[[], Any], only: str = "") -> _Sides:
        """What `compute` adds up over the batch's parts, summed over the processes."""
        self._sides, self._only = self._no_sides(), only
        compute()
        for side in (self._sides.forget, self._sides.retain):
            ranks.sum_in_place([g for g in side if g is not None])
        return self._sides

    def _differentiate(self, part: "Part", terms: dict[str, Tensor], is_last: bool) -> None:  # noqa: ARG002
        """Add a part's gradients to those of its side; the forward pass is gone through twice."""
        kept = self.wrapping.retain_terms
        retain = [term for name, term in terms.items() if name in kept]
        forget = [term for name, term in terms.items() if name not in kept]
        self._sides.has_retain |= bool(retain)
        sides = [("forget", forget), ("retain", retain)]
        chosen = [(n, terms) for n, terms in sides if terms and self._only in ("", n)]
        for name, of_side in chosen:
            total = part.weighed(sum(of_side))
            if not total.requires_grad:
                continue  # a constant, such as the weight 0 makes
            gradients = torch.autograd.grad(
                total, self._trained, retain_graph=name != chosen[-1][0], allow_unused=True
            )
            _add(getattr(self._sides, name), gradients)


def _add(to: list[Tensor | None], found: Sequence[Tensor | None], weight: float = 1.0) -> None:
    """Add each tensor to the one at its place."""
    for i, one in enumerate(found):
        if one is not None:
            weighed, known = one.detach() * weight if weight != 1.0 else one.detach(), to[i]
            to[i] = _own(weighed) if known is None else known.add_(weighed)


def _own(found: Tensor) -> Tensor:
    # What autograd gives may be expanded or transposed, and processes exchange contiguous tensors.
    return found.clone(memory_format=torch.contiguous_format)


def _filled(side: Sequence[Tensor | None], parameters: "Sequence[nn.Parameter]") -> Gradient:
    pairs = zip(side, parameters, strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]


def _masked(
    gradient: Sequence[Tensor | None], trained: Sequence[Tensor] | None
) -> list[Tensor | None]:
    if trained is None:
        return list(gradient)
    return [g if g is None else g * t for g, t in zip(gradient, trained, strict=True)]


@contextmanager
def _held_still(
    parameters: "Sequence[nn.Parameter]", trained: Sequence[Tensor] | None
) -> Iterator[None]:
    """What is not trained is afterwards what it was: an optimizer's weight decay moves it, too."""
    kept = None if trained is None else [p.detach().clone() for p in parameters]
    yield
    if kept is not None and trained is not None:
        with torch.no_grad():
            for p, before, may_change in zip(parameters, kept, trained, strict=True):
                p.copy_(torch.where(may_change, p, before))
