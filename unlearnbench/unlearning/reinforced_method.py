"""Methods that learn what is to be forgotten even better, and then turn that against the model."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.models.devices.schedule import RunLength, Schedule
from unlearnbench.settings import setting
from unlearnbench.unlearning.method import Method

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.epochs import EpochLog
    from unlearnbench.unlearning.examiner import Examiner

_ROWS_AT_ONCE = 8


@dataclass(kw_only=True)
class ReinforcedMethod(Method):
    """A method that fine-tunes the model on the rows to forget and works with the difference.

    The fine-tuning minimises the rows' NLL by the same optimiser, batches and order of rows as
    every gradient method, with a schedule of its own.  No examination stands between its epochs:
    a model that knows the rows better is none of interest.  The trace has the model before, the
    losses of the fine-tuning by epoch, and with its last epoch the examination of the result.
    """

    sequences_per_row: ClassVar[int] = 1
    keeps_reference: ClassVar[bool] = False
    keeps_second_model: ClassVar[bool] = True

    learning_rate: float = setting(
        1e-5, "Adam's step size at the start of the fine-tuning (MUSE: 1e-5)"
    )
    finetune_epochs: int = setting(
        10, "epochs of the fine-tuning (MUSE: 10); never more than max_epochs", minimum=1
    )
    schedule: Literal["cosine", "constant"] = setting(
        "cosine", "how the step size goes on: to 0 at the last step, or not at all (MUSE: cosine)"
    )

    def check_loaded(self, model: "LanguageModel") -> None:
        """Raise `UserError` for a model that this cannot be done to; nothing is trained yet."""

    @abstractmethod
    def turn(self, model: "LanguageModel", original: "LanguageModel") -> None:
        """Make `model`, with the fine-tuned weights, forget; `original` has those of before."""

    def unlearn(
        self, model: "LanguageModel", forget_set: "ForgetSet", examiner: "Examiner"
    ) -> "UnlearnTrace":
        """Fine-tune `model` on the rows, turn it, and examine it once."""
        from unlearnbench.unlearning.epochs import EpochLog

        self.check_loaded(model)
        n_epochs = min(self.finetune_epochs, self.max_epochs)
        log = EpochLog(self, model, forget_set, examiner, limit=n_epochs)
        log.before()
        if log.ended:
            return log.trace
        with model.meter.phase("unlearn"):
            original = model.copied()
            before = rows_nll(model, forget_set)
            with model.training():
                self._finetune(model, forget_set, log, n_epochs)
            if not log.ended and (reason := diverged(before, rows_nll(model, forget_set))):
                log.collapse(reason)
            if not log.ended:
                self.turn(model, original)
        if not log.ended:
            log.epoch_done()
        return log.trace

    def _finetune(
        self, model: "LanguageModel", forget_set: "ForgetSet", log: "EpochLog", n_epochs: int
    ) -> None:
        from unlearnbench.unlearning.gradient_method import steps_for
        from unlearnbench.unlearning.reference import References
        from unlearnbench.unlearning.steps import seeded_generator, shuffled_batches

        order, random = seeded_generator(self.seed, "order"), seeded_generator(self.seed, "draws")
        references = References(model, forget_set)  # which this loss never asks
        rows = range(len(forget_set.rows))
        n_batches = -(-len(rows) // self.batch_size)
        with (
            self._own_schedule(model),
            steps_for(model, self.learning_rate, RunLength(n_epochs * n_batches)) as steps,
        ):
            for epoch in range(1, n_epochs + 1):
                for index in shuffled_batches(rows, self.batch_size, order):
                    losses = steps.losses(finetuning_loss, forget_set, index, random, references)
                    if not all(map(isfinite, losses.terms.values())):
                        log.collapse(diverged(0.0, sum(losses.terms.values())))
                        return
                    log.batch_done(losses.terms, n_batches)
                    steps.take()
                if epoch < n_epochs:  # the last one is examined
                    log.epoch_not_examined()
            steps.bring_home()

    @contextmanager
    def _own_schedule(self, model: "LanguageModel") -> Iterator[None]:
        """The fine-tuning has a schedule of its own, whatever that of the run."""
        strategy = model.strategy
        model.strategy = replace(strategy, schedule=Schedule(lr_schedule=self.schedule))
        try:
            yield
        finally:
            model.strategy = strategy


def finetuning_loss(batch: "UnlearnBatch") -> "dict[str, Tensor]":
    """NLL(x_tgt): the rows to forget are learned."""
    return {"finetune": batch.target_nll}


def diverged(before: float, after: float) -> str:
    """What to say of rows whose NLL fine-tuning on them has not brought down; empty if it has."""
    if after <= before:
        return ""
    how = f"from {before:.4g} to {after:.4g} nats" if isfinite(after) else f"and became {after}"
    return (
        f"the auxiliary fine-tuning on the rows to forget diverged: their NLL rose {how}; "
        "take a smaller learning_rate"
    )


def rows_nll(model: "LanguageModel", forget_set: "ForgetSet") -> float:
    """Mean NLL of the rows to forget in nats per row, over what the protocol counts."""
    import torch

    from unlearnbench.unlearning.batch import UnlearnBatch

    rows = torch.arange(len(forget_set.rows)).split(_ROWS_AT_ONCE)
    with torch.no_grad(), model.counted_once():
        batches = (UnlearnBatch.of(model, forget_set, part.tolist()) for part in rows)
        total = sum(float(batch.target_nll_per_row.sum()) for batch in batches)
    return total / len(forget_set.rows)
