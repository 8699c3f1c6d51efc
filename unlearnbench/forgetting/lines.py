"""When a single row counts as known: by what rows that the model never saw seem to be known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from pydantic import BaseModel, ConfigDict, Field

# A row that was never seen lies above either limit with this probability at most.
ALARM = 0.05
_EACH = ALARM / 2  # EL and MA are two chances


class RowState(BaseModel):
    """How well a model knows one row."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    el: float = Field(description="extraction likelihood EL10, 0..1")
    ma: float = Field(description="memorisation accuracy, 0..1")
    nll: float | None = Field(default=None, description="nats per token of the suffix or answer")


class RowLimit(BaseModel):
    """EL and MA above which a row counts as known."""

    model_config = ConfigDict(extra="forbid")

    el: float
    ma: float
    n_unseen: int = Field(default=0, description="rows they were measured on; 0: the paper's line")
    how: str = Field(description="in one sentence")

    def is_known(self, row: RowState) -> bool:
        """Whether a row's EL or MA is above its limit."""
        return row.el > self.el or row.ma > self.ma


@dataclass(frozen=True)
class Line:
    """The stop line of a set's means, as `StopRecord` has it."""

    el: float
    ma: float


def row_limit(unseen: Sequence[RowState], line: Line) -> RowLimit:
    """The limit of single rows from those that the model never saw; without any the line itself.

    A split-conformal quantile (Vovk et al. 2005): the k-th smallest of n unseen values, k =
    ceil((n + 1)(1 - a)) with a = 2.5% for EL and for MA, n at most.  No limit is under the line
    of the set's means.
    """
    if not unseen:
        how = (
            "no unseen rows were given: EL and MA of Jang et al.'s stop line, which was measured "
            "on another model"
        )
        return RowLimit(el=line.el, ma=line.ma, how=how)
    n = len(unseen)
    el, ma = quantile([row.el for row in unseen]), quantile([row.ma for row in unseen])
    share = 2 * (n + 1 - place(n)) / (n + 1)
    how = (
        f"the {_ordinal(place(n))} smallest EL and MA of {n} rows that the model never saw, the "
        f"stop line at least: a row like these lies above either with probability {share:.1%} at "
        "most"
    )
    return RowLimit(el=max(el, line.el), ma=max(ma, line.ma), n_unseen=n, how=how)


def place(n: int) -> int:
    """Which of n sorted values is the limit, from 1."""
    return min(n, ceil((n + 1) * (1 - _EACH)))


def _ordinal(n: int) -> str:
    """'1st', '12th', '41st'."""
    last = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{'th' if n % 100 in (11, 12, 13) else last}"


def quantile(values: Sequence[float]) -> float:
    """The limit that a new value of the same kind exceeds with probability 2.5%, or 1/(n + 1)."""
    return sorted(values)[place(len(values)) - 1]


def known(rows: Mapping[str, RowState], limit: RowLimit) -> tuple[str, ...]:
    """The rows that count as known, in their order."""
    return tuple(doc_id for doc_id, row in rows.items() if limit.is_known(row))
