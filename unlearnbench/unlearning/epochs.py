"""The epochs of one unlearning run: examination, the decision to stop, and the record."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unlearnbench.results.record import EpochRecord, Outcome, RowRecord, UnlearnTrace
from unlearnbench.unlearning.ending import Ending

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.examiner import Examiner
    from unlearnbench.unlearning.method import Method


@dataclass(frozen=True)
class UnlearnProgress:
    """Where an unlearning run stands after a batch, or (with a record) an epoch's examination."""

    method: str
    epoch: int
    max_epochs: int
    batch: int
    n_batches: int
    record: EpochRecord | None = None


Listener = Callable[[UnlearnProgress], None]
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener`, beside those around it, the progress of every unlearning run inside."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


class EpochLog:
    """Examines the model after each epoch, says when to stop and why, and keeps the record."""

    def __init__(
        self,
        method: "Method",
        model: "LanguageModel",
        forget_set: "ForgetSet",
        examiner: "Examiner",
        limit: int | None = None,  # the last epoch, if not the method's own limit
    ) -> None:
        self._method, self._model = method, model
        self._forget_set, self._examiner = forget_set, examiner
        self._epochs: list[EpochRecord] = []
        self._sums: dict[str, float] = {}
        self._n_batches = 0
        self._end: tuple[Outcome, str] | None = None
        self._ending = Ending(method, model, len(forget_set.rows), examiner)
        self._limit = self._ending.n_epochs if limit is None else limit
        self.active: list[int] = list(range(len(forget_set.rows)))  # rows of the next epoch

    @property
    def ended(self) -> bool:
        """Whether an outcome has been reached."""
        return self._end is not None

    @property
    def epoch(self) -> int:
        """The epoch that is running, counted from 1 (0 before the first examination)."""
        return len(self._epochs)

    @property
    def trace(self) -> UnlearnTrace:
        """The record; only once the run has ended."""
        if self._end is None:
            raise RuntimeError("an unlearning run has a trace only once it has ended")
        outcome, reason = self._end
        return UnlearnTrace(
            outcome=outcome, reason=reason, n_epochs=self._epochs[-1].epoch, epochs=self._epochs
        )

    def before(self) -> None:
        """Epoch 0: how well the model knows the rows before it is touched."""
        if not self._parameters_are_finite():
            self._collapse("the model has NaN or infinite weights before unlearning", [])
            return
        record = self._examined([])
        self._end = self._decide(record, "before any unlearning")
        self._ending.begin()
        self._tell(0, 0, record)

    def batch_done(self, losses: dict[str, float], n_batches: int) -> bool:
        """Note one batch's loss terms; false if one is NaN or infinite, which ends the run."""
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            where = f"in batch {self._n_batches + 1} of epoch {self.epoch}"
            self._collapse(f"loss '{wrong[0]}' is {losses[wrong[0]]} {where}", self.active)
            return False
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._n_batches += 1
        self._model.meter.advance(self._n_batches, n_batches)
        self._tell(self._n_batches, n_batches)
        return True

    def step_taken(self, batches: Sequence[Sequence[int]], bring_home: Callable[[], None]) -> bool:
        """Note a step, over the next of the epoch's `batches`; true if the run ends with it.

        `bring_home` puts the trained weights into the model, if they are to be measured.
        """
        is_last = self._n_batches == len(batches)
        ends = self._ending.after_step(self.epoch, is_last, bring_home)
        if ends:  # perhaps in the middle: the epoch's rows are those that were trained on
            self.active = sorted(row for index in batches[: self._n_batches] for row in index)
        if self._ending.broken is not None:
            self._collapse(self._ending.broken, self.active)
        return ends

    def collapse(self, reason: str) -> None:
        """End the run: nothing can be measured on this model.  The batches before it are kept."""
        self._collapse(reason, self.active)

    def epoch_not_examined(self) -> None:
        """Note the losses of an epoch of a training that makes no unlearned model yet."""
        n_batches = self._n_batches
        record = self._record(self.active, [], {})
        self._sums, self._n_batches = {}, 0
        self._tell(n_batches, n_batches, record)

    def epoch_done(self) -> None:
        """Examine the model, choose the next epoch's rows and decide whether there is one.

        Of a run that has ended already, by a loss that is not finite, there is nothing to examine.
        """
        if self.ended:
            return
        epoch, n_batches, trained_on = self.epoch, self._n_batches, self.active
        if not self._parameters_are_finite():
            self._collapse(f"weights became NaN or infinite in epoch {epoch}", trained_on)
            return
        record = self._examined(trained_on)
        self.active = self._method.active_rows(record.rows, self._forget_set.protocol)
        self._end = self._decide(record, f"after epoch {epoch}")
        self._sums, self._n_batches = {}, 0
        self._tell(n_batches, n_batches, record)

    def _decide(self, record: EpochRecord, when: str) -> tuple[Outcome, str] | None:
        is_under = self._examiner.reached(record.metrics, *self._stops_at())
        left = self._known_rows(record) if is_under or self._is_ma_under(record) else ()
        is_under = is_under and not left
        if not self._ending.by_line and (how := self._ending.reason(record.epoch)) is not None:
            if is_under:
                return "forgotten", f"{how}: the set is under the stop line"
            return "not_forgotten", f"{how}: {self._known(record, left)}"
        if is_under and self._ending.by_line:
            return "forgotten", f"the set is under the stop line {when}"
        if not self.active:
            return "forgotten", f"every row is forgotten by eq. 5 {when}"
        if not self._ending.by_line or record.epoch < self._limit:
            return None
        reached = self._known(record, left)
        return "not_forgotten", f"not under the stop line at the epoch limit ({reached})"

    def _is_ma_under(self, record: EpochRecord) -> bool:
        return record.metrics["ma"] < self._stops_at()[1]

    def _known_rows(self, record: EpochRecord) -> tuple[str, ...]:
        return self._examiner.known_rows(self._model, self._forget_set.rows, record.rows)

    def _known(self, record: EpochRecord, left: Sequence[str]) -> str:
        el = record.metrics["el"]
        known = "not measured" if math.isnan(el) else f"{el:.4f}"
        of = f", {len(left)} of {len(record.rows)} rows known" if left else ""
        return f"el {known}, ma {record.metrics['ma']:.4f}{of}"

    def _examined(self, trained_on: Sequence[int]) -> EpochRecord:
        # EL can be spared after an epoch whose MA is above its line; under 'or' it may
        # end the run alone, and before the first epoch it is what the rest is held against.
        rule, ma_threshold = self._stops_at()
        line = ma_threshold if self._epochs and rule == "and" else None
        if self._epochs and not self._ending.by_line:  # it decides nothing before the end
            line = -math.inf if self._ending.reason(self.epoch) is None else None
        rows = self._examiner.examine(self._model, self._forget_set.rows, line)
        for index, row in enumerate(rows):
            row.active = index in trained_on
            row.forgotten = self._method.is_forgotten(row, self._forget_set.protocol)
        return self._record(trained_on, rows, self._examiner.means(rows))

    def _record(
        self, trained_on: Sequence[int], rows: list[RowRecord], metrics: dict[str, float]
    ) -> EpochRecord:
        record = EpochRecord(
            epoch=self.epoch,
            losses={name: total / self._n_batches for name, total in self._sums.items()},
            metrics=metrics,
            n_active=len(trained_on),
            rows=rows,
        )
        self._epochs.append(record)
        return record

    def _stops_at(self) -> tuple[Literal["and", "or"], float]:
        protocol, line = self._forget_set.protocol, self._examiner.stop_line
        return self._method.stop_rule(protocol), self._method.ma_threshold(protocol, line)

    def _collapse(self, reason: str, trained_on: Sequence[int]) -> None:
        # The batches before the failure are kept; nothing can be measured on such a model.
        self._record(trained_on, [], {})
        self._end = ("collapsed", reason)

    def _parameters_are_finite(self) -> bool:
        return all(bool(p.isfinite().all()) for p in self._model.network.parameters())

    def _tell(self, batch: int, n_batches: int, record: EpochRecord | None = None) -> None:
        epoch = record.epoch if record else self.epoch
        limit = max(self._limit, epoch)
        for listener in _listeners.get():
            listener(UnlearnProgress(self._method.name, epoch, limit, batch, n_batches, record))
