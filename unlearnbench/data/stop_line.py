"""When a set of rows counts as forgotten."""

from dataclasses import dataclass
from typing import Literal

from unlearnbench.data.row_limit import RowLimit


@dataclass(frozen=True)
class StopLine:
    """EL and MA under which a set is forgotten: no better known than unseen text (Jang et al.).

    With a limit no single row may be known by it, either.
    """

    el: float = 0.0499
    ma: float = 0.5994
    source: Literal["paper", "calibrated", "rows"] = "paper"
    n_unseen: int = 0
    limit: RowLimit | None = None


def is_forgotten(
    bertscore_f1: float,
    bleu: float,
    rule: Literal["and", "or"],
    bertscore_threshold: float = 0.3,
    bleu_threshold: float = 0.01,
) -> bool:
    """Eq. 5: whether BERTScore and/or BLEU of a row is under its threshold, strictly."""
    under = (bertscore_f1 < bertscore_threshold, bleu < bleu_threshold)
    return all(under) if rule == "and" else any(under)
