"""The stop line of a model: how well it seems to know what it never saw."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.models.devices import ranks
from unlearnbench.unlearning.examiner import Examiner

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


def unseen_scores(
    model: "LanguageModel", unseen: "Sequences | None", examiner: Examiner
) -> list[tuple[float, float]]:
    """EL and MA of each row that the model never saw, as the examiner measures (protocol, n).

    Raises `UserError` without unseen rows.
    """
    import torch

    from unlearnbench.metrics.extraction import extraction_scores

    if unseen is None or not len(unseen):
        raise UserError(
            "--stop calibrated needs rows the model never saw: --unseen FILE, or use --stop paper"
        )

    def known(own: list[int]) -> list[tuple[float, float]]:
        rows = unseen.select(own)
        scores = extraction_scores(model, rows, examiner.protocol, examiner.n, examiner.batch_size)
        return list(zip(scores.el, scores.ma, strict=True))

    with torch.no_grad():
        return ranks.over_ranks(len(unseen), known)


def stop_line_of(scores: Sequence[tuple[float, float]]) -> StopLine:
    """A model's own stop line: how well rows that it never saw may seem to be known.

    The one-sided 95% upper bounds of the mean EL and MA of unseen rows.  A set strictly below both
    is known no better than unseen text, as far as that many rows can tell.  MA's bound is the
    normal one; EL's is Wilson's, because a sample of unseen rows may hold no extraction at all.
    """
    el = wilson_upper_bound([el for el, _ in scores])
    ma = normal_upper_bound([ma for _, ma in scores])
    return StopLine(el, ma, "calibrated", len(scores))


CONFIDENCE = 0.95


def normal_upper_bound(values: Sequence[float], confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound of the mean: mean + z s / sqrt(n).  One value: that value."""
    if len(values) < 2:
        return fmean(values)
    z = NormalDist().inv_cdf(confidence)
    return fmean(values) + z * stdev(values) / sqrt(len(values))


def wilson_upper_bound(values: Sequence[float], confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound of the mean of shares in 0..1 by Wilson's score interval (1927).

    For events so rare that a sample may hold none: its spread would be 0 and the
    normal bound with it, while Wilson's says what n rows without one still allow.
    """
    n, share = len(values), fmean(values)
    z2 = NormalDist().inv_cdf(confidence) ** 2
    centre = share + z2 / (2 * n)
    margin = sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    return (centre + margin) / (1 + z2 / n)
