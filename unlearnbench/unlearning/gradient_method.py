"""The epoch loop that gradient methods inherit: they write a loss, and nothing else."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.errors import UserError
from unlearnbench.settings import quoted
from unlearnbench.unlearning.method import Method
from unlearnbench.unlearning.wrapper import Wrapper, made_wrappers

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.epochs import EpochLog
    from unlearnbench.unlearning.examiner import Examiner
    from unlearnbench.unlearning.steps import Steps
    from unlearnbench.unlearning.wrapped_steps import Wrapping


@dataclass(kw_only=True)
class GradientMethod(Method):
    """A method that minimises a loss with Adam: betas 0.9, 0.98, no decay, schedule or dropout.

    One epoch visits every active row once, in an order drawn from `seed`; after
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

    def unlearn(
        self, model: "LanguageModel", forget_set: "ForgetSet", examiner: "Examiner"
    ) -> "UnlearnTrace":
        """Train `model` in place until the stop rule, the epoch limit or a non-finite loss."""
        from unlearnbench.unlearning.epochs import EpochLog

        log = EpochLog(self, model, forget_set, examiner)
        log.before()
        if not log.ended:
            with model.meter.phase("unlearn"), model.training(), ExitStack() as stack:
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

    def _epochs(self, model: "LanguageModel", forget_set: "ForgetSet", log: "EpochLog") -> None:
        from unlearnbench.unlearning.reference import References
        from unlearnbench.unlearning.steps import seeded_generator, shuffled_batches

        order, random = seeded_generator(self.seed, "order"), seeded_generator(self.seed, "draws")
        references = References(model, forget_set)
        with steps_for(model, self.learning_rate, self._wrapping) as steps:
            steps.begin(self._terms, forget_set, self.batch_size, random, references)
            while not log.ended:
                batches = shuffled_batches(log.active, self.batch_size, order)
                for index in batches:
                    losses = steps.losses(self._terms, forget_set, index, random, references)
                    if not log.batch_done(losses, len(batches)):
                        return
                    steps.take()
                    references.model_has_changed()
                steps.bring_home()
                log.epoch_done()


@contextmanager
def steps_for(
    model: "LanguageModel", learning_rate: float, wrapping: "Wrapping | None" = None
) -> "Iterator[Steps]":
    """Steps as the model's strategy says; afterwards its network is whole and ordinary again."""
    from unlearnbench.unlearning.steps import Steps, recomputing
    from unlearnbench.unlearning.wrapped_steps import WrappedSteps

    wraps = wrapping is not None and wrapping.changes_gradients
    steps: Steps
    if model.strategy.deepspeed is None:
        steps = (WrappedSteps if wraps else Steps)(model, learning_rate)
    else:
        from unlearnbench.unlearning.deepspeed_steps import deepspeed_steps

        steps = deepspeed_steps(model, learning_rate, wraps)
    if isinstance(steps, WrappedSteps) and wrapping is not None:
        steps.wrapping = wrapping
    try:
        with recomputing(steps.model):
            yield steps
    finally:
        steps.close()
