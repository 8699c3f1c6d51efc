"""How weights are stepped and when a run ends: optimizer, rate from step to step, clipping."""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Literal

OptimizerName = Literal["adam", "adamw"]
LrSchedule = Literal["constant", "linear", "cosine"]
Until = Literal["line", "epochs", "steps", "budget"]


@dataclass(frozen=True)
class RunLength:
    """What a learning-rate schedule must know of a run, in optimisation steps."""

    n_steps: int = 0  # at which the schedule ends; a run may end before
    n_warmup: int = 0  # over which the rate rises to the method's own


NO_LENGTH = RunLength()  # of a constant rate without warm-up, for which it means nothing


@dataclass(frozen=True)
class Schedule:
    """What of a run is no setting of its method; the defaults are the paper's.

    Adam has betas 0.9 and 0.98 (the paper), AdamW 0.9 and 0.999 (torch's and the field's).
    """

    optimizer: OptimizerName = "adam"
    weight_decay: float = 0.0  # AdamW's; of weight matrices, not of biases and norms
    lr_schedule: LrSchedule = "constant"
    warmup_steps: int = 0
    warmup_epochs: float = 0.0  # the same in epochs over all rows; one of the two is 0
    max_grad_norm: float | None = None  # of a step's whole gradient; None: nothing is clipped
    until: Until = "line"
    max_steps: int | None = None  # of `steps`
    utility_budget: float | None = None  # of `budget`: loss of the text, in times its start
    budget_text: str | None = None  # of `budget`: the validation text's name
    budget_every: int | None = None  # of `budget`: steps after which it is looked at

    @property
    def identity(self) -> dict[str, Any]:
        """What differs from the paper's way; empty if nothing does."""
        plain = asdict(Schedule())
        return {name: value for name, value in asdict(self).items() if value != plain[name]}

    def n_epochs(self, n_rows: int, batch_size: int, max_epochs: int) -> int:
        """The epochs that a run over all rows has at most."""
        if self.until == "steps" and self.max_steps is not None:
            return ceil(self.max_steps / _n_batches(n_rows, batch_size))
        return max_epochs

    def length(self, n_rows: int, batch_size: int, max_epochs: int) -> RunLength:
        """The steps of a run that trains on all rows in every epoch, and of its warm-up.

        With fewer active rows (ICU's refinement) an epoch has fewer steps, and the schedule still
        ends at this number.
        """
        n_batches = _n_batches(n_rows, batch_size)
        if self.until == "steps" and self.max_steps is not None:
            n_steps = self.max_steps
        else:
            n_steps = max_epochs * n_batches
        return RunLength(n_steps, self.warmup_steps or ceil(self.warmup_epochs * n_batches))


def _n_batches(n_rows: int, batch_size: int) -> int:
    return max(ceil(n_rows / batch_size), 1)
