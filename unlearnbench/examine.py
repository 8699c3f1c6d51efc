"""The examination after each epoch: how well rows are still known, and whether that is forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unlearnbench.protocol import Protocol
from unlearnbench.trace import RowRecord

if TYPE_CHECKING:
    from unlearnbench.metrics.text import BertScore
    from unlearnbench.model import LanguageModel
    from unlearnbench.sequences import Sequences


@dataclass(frozen=True)
class StopLine:
    """EL and MA under which a set is forgotten: no better known than unseen text (Jang et al.)."""

    el: float = 0.0499
    ma: float = 0.5994
    source: Literal["paper", "calibrated"] = "paper"
    n_unseen: int = 0


@dataclass(frozen=True)
class Examiner:
    """Measures EL, MA, BERTScore, BLEU and entropy per row, and applies eq. 5 and the stop rule."""

    protocol: Protocol
    stop_line: StopLine
    bertscore: "BertScore"
    n: int = 10
    bertscore_threshold: float = 0.3
    bleu_threshold: float = 0.01
    new_tokens: int = 50
    batch_size: int = 32

    def examine(self, model: "LanguageModel", rows: "Sequences") -> list[RowRecord]:
        """One record per row, in the rows' order."""
        raise NotImplementedError

    def means(self, records: Sequence[RowRecord]) -> dict[str, float]:
        """Mean el, ma, bertscore_f1, bleu, entropy over the rows."""
        raise NotImplementedError

    def reached(
        self, means: dict[str, float], rule: Literal["and", "or"], ma_threshold: float
    ) -> bool:
        """Whether the set's means are under the stop line, strictly."""
        raise NotImplementedError
