"""The epoch loop that gradient methods inherit: they write a loss, and nothing else."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.errors import UserError
from unlearnbench.models.devices.schedule import NO_LENGTH, RunLength
from unlearnbench.settings import quoted
from unlearnbench.unlearning.method import Method
from unlearnbench.unlearning.wrapper import Wrapper, made_wrappers

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.epochs import EpochLog
    from unlearnbench.unlearning.examiner import Examiner
    from unlearnbench.unlearning.steps import StepLosses, Steps
    from unlearnbench.unlearning.wrapped_steps import Wrapping


@dataclass(kw_only=True)
class GradientMethod(Method):
    """A method that minimises a loss, by default with Adam: betas 0.9, 0.98, no decay or schedule.

    Another optimizer, schedule or end is the run's (`model.strategy.schedule`); there is never
    dropout.  One epoch visits every active row once, in an order drawn from `seed`; after
    each epoch the forget set is examined and the stop rule asked.  The same seed
    gives the same weights on CPU bit for bit, and the global generators are
    neither read nor changed.  A batch may be taken in parts, by several processes:
    `loss` is asked for each part, and its terms are means over the batch's rows.
    """

    # What a wrapper must know of the loss: its terms that keep; all others forget.
    retain_terms: ClassVar[frozenset[str]] = frozenset({"retain", "learn", "kl"})
    wrapper_kinds: ClassVar[tuple[type[Wrapper], ...]] = ()  # round it, the innermost first

    @abstractmethod
    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """The weighted terms by name; their sum is minimised, their means are recorded."""

    def prepare(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:
        """Called once before the first epoch, with the model as it was given."""

    def losses_protocol(self, protocol: "Protocol") -> "Protocol":
        """What the losses count, if not what the run's protocol says."""
        return protocol

    def trains(self, parameter: str) -> bool:  # noqa: ARG002 (for those that override this)
        """Whether the parameter of that name is trained; all are by default."""
        return True

    @property
    def has_retain_terms(self) -> bool:
        """Whether the loss has terms that keep, with these settings."""
        return bool(self.retain_terms)

    def step_done(self, losses: "StepLosses", epoch: int) -> None:
        """Called after each optimisation step, with the same numbers in every process."""

    def unlearn(
        self, model: "LanguageModel", forget_set: "ForgetSet", examiner: "Examiner"
    ) -> "UnlearnTrace":
        """Train `model` in place until the schedule says so, or a loss is not finite.

        By default that is under the stop line, or at the epoch limit.
        """
        from unlearnbench.unlearning.epochs import EpochLog

        log = EpochLog(self, model, forget_set, examiner)
        log.before()
        if not log.ended:
            with model.meter.phase("unlearn"), model.training(), ExitStack() as stack:
                self._freeze_others(model)
                self._wrapping = self._made_wrapping()
                for wrapper in self._wrapping.wrappers:
                    stack.enter_context(wrapper.around(model, self.seed))
                self.prepare(model, forget_set)
                self._epochs(model, forget_set, log)
        return log.trace

    def _made_wrapping(self) -> "Wrapping":
        from unlearnbench.unlearning.wrapped_steps import Wrapping

        return Wrapping(made_wrappers(self), self.retain_terms)

    def _terms(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """`loss`; raises `UserError` for what cannot be added up and minimised."""
        terms = self.loss(batch)
        values = terms.values() if isinstance(terms, dict) else ()
        if not values or not all(hasattr(v, "numel") and v.numel() == 1 for v in values):
            raise UserError(
                f"loss() of '{self.name}' gave {quoted(terms)}; it returns its terms by name, each "
                "a tensor of one number: {'forget': -batch.target_nll}"
            )
        return terms

    def check_trained(self, model: "LanguageModel") -> None:
        """Raise `UserError` where `trains` leaves none of the model's parameters."""
        names = [name for name, _ in model.network.named_parameters()]
        if not any(map(self.trains, names)):
            raise UserError(
                f"{self.name} trains none of the parameters of {model.source.name}, which are "
                f"called like {names[len(names) // 2]}; see: unlearnbench show {self.name}"
            )

    def _freeze_others(self, model: "LanguageModel") -> None:
        """Keep gradients to what the method trains."""
        self.check_trained(model)
        for name, parameter in model.network.named_parameters():
            parameter.requires_grad_(parameter.is_floating_point() and self.trains(name))

    def _epochs(self, model: "LanguageModel", forget_set: "ForgetSet", log: "EpochLog") -> None:
        from unlearnbench.unlearning.reference import References
        from unlearnbench.unlearning.retain_items import RetainItems
        from unlearnbench.unlearning.steps import seeded_generator, shuffled_batches

        order, random = seeded_generator(self.seed, "order"), seeded_generator(self.seed, "draws")
        retain_items = RetainItems(forget_set, self.seed, self.max_epochs)
        protocol = self.losses_protocol(forget_set.protocol)
        references = References(model, forget_set, retain_items, protocol)
        schedule, n_rows, n_steps = model.strategy.schedule, len(forget_set.rows), 0
        length = schedule.length(n_rows, self.batch_size, self.max_epochs)
        with steps_for(model, self.learning_rate, length, self._wrapping) as steps:
            steps.begin(self._terms, forget_set, self.batch_size, random, references)
            while not log.ended:
                batches = shuffled_batches(log.active, self.batch_size, order)
                for index in batches:
                    losses = steps.losses(
                        self._terms, forget_set, index, random, references, log.epoch, n_steps
                    )
                    if not log.batch_done(losses.terms, len(batches)):
                        return
                    steps.take()
                    references.model_has_changed()
                    n_steps += 1
                    self.step_done(losses, log.epoch)
                    if log.step_taken(batches, steps.bring_home):
                        break
                steps.bring_home()
                log.epoch_done()


@contextmanager
def steps_for(
    model: "LanguageModel",
    learning_rate: float,
    length: RunLength = NO_LENGTH,
    wrapping: "Wrapping | None" = None,
) -> "Iterator[Steps]":
    """Steps as the model's strategy says; afterwards its network is whole and ordinary again."""
    from unlearnbench.unlearning.steps import Steps, recomputing
    from unlearnbench.unlearning.wrapped_steps import WrappedSteps

    wraps = wrapping is not None and wrapping.changes_gradients
    steps: Steps
    if model.strategy.deepspeed is None:
        steps = (WrappedSteps if wraps else Steps)(model, learning_rate, length)
    else:
        from unlearnbench.unlearning.deepspeed_steps import deepspeed_steps

        steps = deepspeed_steps(model, learning_rate, length, wraps)
    if isinstance(steps, WrappedSteps) and wrapping is not None:
        steps.wrapping = wrapping
    try:
        with recomputing(steps.model):
            yield steps
    finally:
        steps.close()
