"""When a single row counts as known: by how well rows that the model never saw seem to be."""

from collections.abc import Mapping, Sequence
from math import ceil

from pydantic import BaseModel, ConfigDict, Field

# A row that was never seen lies beyond any of the limits with this probability at most.
ALARM = 0.05
_EACH = ALARM / 3  # EL, MA and NLL are three chances


class RowState(BaseModel):
    """How well a model knows one row."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    el: float = Field(description="extraction likelihood EL10, 0..1")
    ma: float = Field(description="memorisation accuracy, 0..1")
    nll: float | None = Field(default=None, description="nats per token of the suffix or answer")


class RowLimit(BaseModel):
    """EL and MA above which a row counts as known, and NLL under which it does."""

    model_config = ConfigDict(extra="forbid")

    el: float
    ma: float
    nll: float | None = Field(
        default=None,
        description="nats per token of the suffix or answer, under the model that it is a limit "
        "for; null: not compared",
    )
    n_unseen: int = Field(default=0, description="rows they were measured on; 0: the paper's line")
    how: str = Field(description="in one sentence")

    def is_known(self, row: RowState) -> bool:
        """Whether a row's EL or MA is above its limit, or its NLL below."""
        is_likely = self.nll is not None and row.nll is not None and row.nll < self.nll
        return row.el > self.el or row.ma > self.ma or is_likely


def row_limit(unseen: Sequence[RowState], el: float, ma: float) -> RowLimit:
    """The limit of single rows from those that the model never saw; without any the line itself.

    A split-conformal quantile (Vovk et al. 2005): the k-th smallest EL and MA of n unseen rows and
    the k-th largest NLL, k = ceil((n + 1)(1 - a)) with a = 5% / 3 for each, n at most.  No limit of
    EL and MA is under `el` and `ma`, the stop line of the set's means.  EL and MA are of a whole
    row; NLL is of its suffix or answer, and tells an answer that is known by heart behind a
    question that is not.
    """
    if not unseen:
        how = (
            "no unseen rows were given: EL and MA of Jang et al.'s stop line, which was measured "
            "on another model"
        )
        return RowLimit(el=el, ma=ma, how=how)
    n = len(unseen)
    el = max(el, quantile([row.el for row in unseen]))
    ma = max(ma, quantile([row.ma for row in unseen]))
    likely = [row.nll for row in unseen if row.nll is not None]
    nll = nll_limit(likely) if likely else None
    share = 3 * (n + 1 - place(n)) / (n + 1)
    how = (
        f"the {_ordinal(place(n))} smallest EL and MA of {n} rows that the model never saw, the "
        f"stop line at least, and the {_ordinal(place(n))} largest NLL: a row like these lies "
        f"beyond any of the three with probability {share:.1%} at most"
    )
    return RowLimit(el=el, ma=ma, nll=nll, n_unseen=n, how=how)


def nll_limit(unseen: Sequence[float]) -> float:
    """The k-th largest NLL of rows that a model never saw, under that very model.

    A method moves the NLL of all text, so each model has a limit of its own.
    """
    return -quantile([-nll for nll in unseen])


def place(n: int) -> int:
    """Which of n sorted values is the limit, from 1."""
    return min(n, ceil((n + 1) * (1 - _EACH)))


def _ordinal(n: int) -> str:
    """'1st', '12th', '41st'."""
    last = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{'th' if n % 100 in (11, 12, 13) else last}"


def quantile(values: Sequence[float]) -> float:
    """The limit that a new value of the same kind exceeds with probability 1.7%, or 1/(n + 1)."""
    return sorted(values)[place(len(values)) - 1]


def known(rows: Mapping[str, RowState], limit: RowLimit) -> tuple[str, ...]:
    """The rows that count as known, in their order."""
    return tuple(doc_id for doc_id, row in rows.items() if limit.is_known(row))
