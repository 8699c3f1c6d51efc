"""Which of the models that were tried is handed out: one rule, and why the others are not."""

from collections.abc import Sequence
from dataclasses import dataclass

RULE = (
    "of the models that reached the stop line, left no row known that was known before, and lost "
    "no more utility than allowed: first those under which the fewest rows of earlier requests "
    "came back, of these the one that lost least utility (a gain counts as no loss), of equals "
    "the one whose unlearning sent the fewest tokens through the network"
)


@dataclass(frozen=True)
class Judged:
    """What the rule needs to know of a model that was tried."""

    key: str  # of its result
    reached: bool  # the set's means are under the stop line
    rows_left: tuple[str, ...] = ()  # known before, and still
    utility_loss: float | None = None  # share of the start's NLL; None: not measured
    came_back: tuple[str, ...] = ()  # rows of earlier requests
    tokens: int = 0  # through the network while unlearning
    problem: str = ""  # why there is no model at all


def why_not(one: Judged, max_loss: float) -> str:
    """Why a model does not qualify, in a few words; empty where it does."""
    if one.problem:
        return one.problem
    if not one.reached:
        return "did not reach the stop line"
    if one.rows_left:
        n = len(one.rows_left)
        return f"{n} row{'' if n == 1 else 's'} still known: {named(one.rows_left)}"
    if one.utility_loss is None:
        return "its utility was not measured"
    if one.utility_loss > max_loss:
        return f"lost {one.utility_loss:.1%} of utility, more than {max_loss:.1%}"
    return ""


def choose(tried: Sequence[Judged], max_loss: float) -> Judged | None:
    """The model that `RULE` takes; None where none qualifies.  The first of equals stands."""
    qualified = [one for one in tried if not why_not(one, max_loss)]
    return min(qualified, key=_rank, default=None)


def _rank(one: Judged) -> tuple[int, float, int]:
    return len(one.came_back), max(one.utility_loss or 0.0, 0.0), one.tokens


def named(rows: Sequence[str], at_most: int = 5) -> str:
    """'a, b, c and 4 more'."""
    more = len(rows) - at_most
    return ", ".join(rows[:at_most]) + (f" and {more} more" if more > 0 else "")
