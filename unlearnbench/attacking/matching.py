"""How far an update can go until a share of the original model's utility is left."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.attacking.attack import Target
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel


@dataclass(frozen=True)
class Match:
    """The largest share of an update that was found to keep the utility."""

    alpha: float  # 0: the original model, 1: the whole update
    utility: float  # there, as a share of the original's
    visited: tuple[tuple[float, float], ...]  # alpha and utility, in the order of the visits

    @property
    def largest_rise(self) -> float:
        """By how much utility rises at most from one visited alpha to a larger one; 0: never.

        The original model, whose utility is 1, counts as visited.
        """
        ordered = sorted({(0.0, 1.0), *self.visited})
        values = [utility for _, utility in ordered]
        rises = [b - a for i, a in enumerate(values) for b in values[i + 1 :]]
        return max(0.0, *rises)


def match_utility(
    utility: Callable[[float], float], share: float, tolerance: float, most: int
) -> Match:
    """Bisects for the largest alpha in 0..1 with utility(alpha) >= share; utility(0) is 1.

    The whole update is looked at first, and taken where it keeps the share.  It ends where a
    utility lies between share and share + tolerance, or after `most` evaluations, with the
    largest alpha that was found to keep the share: 0 if none was.  Where utility does not fall
    all the way, there may be a larger one beyond (`Match.largest_rise` says by how much it rises).
    A utility that is no number counts as 0.
    """
    visited: list[tuple[float, float]] = []

    def look(alpha: float) -> float:
        value = utility(alpha)
        visited.append((alpha, 0.0 if math.isnan(value) else value))
        return visited[-1][1]

    low, at_low, high = 0.0, 1.0, 1.0
    alpha = 1.0
    while len(visited) < most:
        value = look(alpha)
        if value >= share:
            low, at_low = alpha, value
        else:
            high = alpha
        if low == 1.0 or share <= value <= share + tolerance:
            break
        alpha = (low + high) / 2
    return Match(low, at_low, tuple(visited))


# ---- utility, as a share of the original model's

Utility = Callable[["LanguageModel"], float]


def answers_kept(
    original: "LanguageModel", splits: "Sequence[Split]", n_items: int, batch_size: int
) -> Utility:
    """The mean probability of answers to retain items, over the original's.

    The probability of an answer is exp of its tokens' mean log-probability; means over the first
    `n_items` of each split, then over splits.  Raises `UserError` where the original has none.
    """
    from unlearnbench.metrics.answer_formulas import probability
    from unlearnbench.metrics.answers import read_items

    wanted = [(split.first(n_items), ()) for split in splits]

    def mean(model: "LanguageModel") -> float:
        read = read_items(model, wanted, batch_size)
        of_splits = [_mean([probability(r.answer.log_probability) for r in of]) for of in read]
        return _mean(of_splits)

    before = mean(original)
    if not before > 0:
        raise UserError(
            "utility_match: the original model gives the answers to retain items no probability; "
            "measure utility on texts: --set utility_match.utility=perplexity"
        )
    return lambda model: mean(model) / before


def perplexity_kept(
    original: "LanguageModel", target: "Target", n_windows: int, batch_size: int
) -> Utility:
    """exp(-(nll - nll_before)): the original's perplexity on validation texts over the model's.

    The NLL is the mean over the texts of the mean over windows of the mean over tokens, in nats;
    `n_windows` of all texts together, the same number of each, spread evenly.  Raises `UserError`
    without texts.
    """
    from unlearnbench.metrics.perplexity import nll_of_windows, windows_of

    texts = {name: documents for name, documents in target.context.texts.items() if documents}
    if not texts:
        raise UserError(
            "utility_match: there is no validation text to measure utility on; give one and name "
            "the task that reads it: --text NAME=FILE --tasks forgetting,perplexity"
        )
    of_each = max(n_windows // len(texts), 1)
    windows = [spread(windows_of(original, documents), of_each) for documents in texts.values()]

    def nll(model: "LanguageModel") -> float:
        return _mean([_mean(nll_of_windows(model, of, batch_size)) for of in windows])

    before = nll(original)
    return lambda model: _exp(before - nll(model))


def spread(things: Sequence[list[int]], n: int) -> list[list[int]]:
    """`n` of the things at equal distances, the first among them; all where there are no more."""
    if len(things) <= n:
        return list(things)
    return [things[i * len(things) // n] for i in range(n)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
