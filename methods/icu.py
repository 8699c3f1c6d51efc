"""ICU: iterative contrastive unlearning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.protocol import Protocol
    from unlearnbench.results.record import RowRecord
    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class Icu(GradientMethod):
    """Gradient ascent on the targets; learning and KL divergence on their nearest neighbours.

    After each epoch a row that is forgotten by eq. 5 sits out the next one with
    its neighbour, and comes back if it is known again.  The ablations are
    `--set icu.alpha=0`, `--set icu.beta=0` and `--set icu.refinement=false`.
    """

    name: ClassVar[str] = "icu"
    label: ClassVar[str] = "ICU"
    source: ClassVar[str] = "Tang et al. 2024, eqs. 1-6"
    citation: ClassVar[str] = """@article{tang2024learn,
  title = {Learn while Unlearn: An Iterative Unlearning Framework for Generative Language Models},
  author = {Tang, Haoyu and Liu, Ye and Zhao, Xi and Liu, Xukai and Zhang, Yanghai and Zhang, Kai
            and Zhou, Xiaofang and Chen, Enhong},
  journal = {arXiv preprint arXiv:2407.20271},
  year = {2024}
}"""
    formula: ClassVar[str] = "−NLL(x_tgt) + α NLL(x_lrn) + β KL[P₀ ‖ P](x_lrn)"
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items")
    runs_by_default: ClassVar[bool] = True

    alpha: float = setting(
        0.5, "weight of learning the neighbours, L_lrn (eq. 3); 0 leaves it out", search="0.1..2"
    )
    beta: float = setting(
        1.0, "weight of the neighbours' KL term, L_kl (eq. 4); 0 leaves it out", search="0.1..2"
    )
    bertscore_threshold: float = setting(
        0.3, "a: BERTScore F1 of a forgotten row is under it (eq. 5)"
    )
    bleu_threshold: float = setting(0.01, "b: BLEU of a forgotten row is under it (eq. 5)")
    refinement: bool = setting(True, "leave rows that are forgotten (eq. 5) out of the next epoch")

    def needed(self, source: "ForgetSource", protocol: "Protocol") -> tuple[Need, ...]:
        """Neither the original model nor neighbours with both weights 0."""
        return super().needed(source, protocol) if self.alpha or self.beta else ()

    @property
    def has_retain_terms(self) -> bool:
        """Not with both weights 0."""
        return bool(self.alpha or self.beta)

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """L_tgt + alpha L_lrn + beta L_kl (eq. 6)."""
        from unlearnbench.unlearning.losses import icu_loss

        return icu_loss(
            batch.target_nll,
            batch.pair_nll if self.alpha else None,
            batch.pair_kl if self.beta else None,
            self.alpha,
            self.beta,
        )

    def active_rows(self, records: "Sequence[RowRecord]", protocol: "Protocol") -> list[int]:
        """Iterative unlearning refinement: the rows that are not forgotten (eq. 5)."""
        if not self.refinement:
            return super().active_rows(records, protocol)
        return [i for i, row in enumerate(records) if not self.is_forgotten(row, protocol)]

    def is_forgotten(self, row: "RowRecord", protocol: "Protocol") -> bool:
        """Eq. 5 with this method's thresholds a and b."""
        from unlearnbench.data.stop_line import is_forgotten

        thresholds = (self.bertscore_threshold, self.bleu_threshold)
        return is_forgotten(row.bertscore_f1, row.bleu, protocol.forgotten_rule, *thresholds)
