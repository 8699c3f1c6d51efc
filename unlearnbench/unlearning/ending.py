"""When a run ends and in what words: at the line, after so many epochs or steps, by a budget."""

from collections.abc import Callable, Sequence
from math import fsum, isfinite
from typing import TYPE_CHECKING

from unlearnbench.models.devices import ranks

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.examiner import Examiner
    from unlearnbench.unlearning.method import Method

PHASE = "budget"
EVERY = 10  # steps, where the schedule says nothing
WINDOWS = 16  # of the budget's text, its first: 8,192 tokens at most


class Ending:
    """Says after each step and each epoch whether a run ends there, by its schedule's `until`.

    Steps are counted from the first of the run.
    """

    def __init__(
        self, method: "Method", model: "LanguageModel", n_rows: int, examiner: "Examiner"
    ) -> None:
        self._schedule, self._model = model.strategy.schedule, model
        self.n_epochs = self._schedule.n_epochs(n_rows, method.batch_size, method.max_epochs)
        self.by_line = self._schedule.until == "line"
        self._n_steps = 0
        self._reason: str | None = None  # why it ends, once it does
        self.broken: str | None = None  # what is NaN or infinite of a model with finite weights
        self._text = None
        if self._schedule.until == "budget":
            self._text = WatchedText(model, examiner.budget_text)

    def begin(self) -> None:
        """Before anything is trained: the loss that the budget is held against."""
        if self._text is not None:
            self._text.begin()

    def after_step(self, epoch: int, is_last: bool, bring_home: Callable[[], None]) -> bool:
        """Whether the run ends with this step, which may be its epoch's last.

        `bring_home` puts the trained weights where they can be measured.
        """
        self._n_steps += 1
        schedule = self._schedule
        if schedule.until == "steps" and self._n_steps == schedule.max_steps:
            steps = f"{self._n_steps} steps" if self._n_steps > 1 else "1 step"
            self._reason = f"ended after {steps} as asked (--until steps), in epoch {epoch}"
        is_due = is_last or self._n_steps % (schedule.budget_every or EVERY) == 0
        if self._text is not None and schedule.utility_budget is not None and is_due:
            bring_home()
            times, where = self._text.look(), f"in epoch {epoch}, step {self._n_steps}"
            if not isfinite(times):
                self.broken = f"{self._loss()} {where}"
            elif times > schedule.utility_budget:
                self._reason = f"the utility budget was used up {where}: {self._loss()}"
        return self._reason is not None or self.broken is not None

    def reason(self, epoch: int) -> str | None:
        """Why the run ends after this epoch; None: it goes on.  By the line it ends otherwise."""
        if self._reason is not None or epoch < self.n_epochs or self._schedule.until == "steps":
            return self._reason
        if self._schedule.until == "budget":
            return f"the epoch limit came before the utility budget was used up: {self._loss()}"
        epochs = f"{epoch} epoch" if epoch == 1 else f"{epoch} epochs"
        return f"ended after {epochs} as asked (--until epochs)"

    def _loss(self) -> str:
        assert self._text is not None
        times = f"{self._text.times:.3f} times its start"
        return f"loss of {self._schedule.budget_text or 'the text'} {times}"


class WatchedText:
    """NLL per token of a text's first windows, beside what it was before training."""

    def __init__(self, model: "LanguageModel", documents: Sequence[str]) -> None:
        from unlearnbench.metrics.perplexity import windows_of

        self._model = model
        self._windows = windows_of(model, documents)[:WINDOWS]
        self._start = self.times = 1.0  # nats; the loss last seen, in times its start

    def begin(self) -> None:
        """Measure the start."""
        self._start = self._nll()

    def look(self) -> float:
        """Measure again: the loss in times its start."""
        self.times = self._nll() / self._start
        return self.times

    def _nll(self) -> float:
        """Nats per predicted token, over all processes' windows."""
        from unlearnbench.metrics.perplexity import nll_of_windows

        def own(rows: list[int]) -> list[float]:
            return nll_of_windows(self._model, [self._windows[row] for row in rows])

        with self._model.meter.phase(PHASE):
            means = ranks.over_ranks(len(self._windows), own)
        # A window's first token is predicted by nothing.
        counts = [len(window) - 1 for window in self._windows]
        return fsum(m * n for m, n in zip(means, counts, strict=True)) / sum(counts)
