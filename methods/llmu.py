"""LLMU: gradient ascent, random completions, and KL on normal text."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class Llmu(GradientMethod):
    """Gradient ascent on the targets, other completions after their prefixes, KL on neighbours."""

    name: ClassVar[str] = "llmu"
    label: ClassVar[str] = "LLMU"
    source: ClassVar[str] = "Yao et al. 2023"
    citation: ClassVar[str] = """@article{yao2023large,
  title = {Large Language Model Unlearning},
  author = {Yao, Yuanshun and Xu, Xiaojun and Liu, Yang},
  journal = {arXiv preprint arXiv:2310.10683},
  year = {2023}
}"""
    formula: ClassVar[str] = "−ε₁ NLL(x_tgt) + ε₂ NLL(another completion) + ε₃ KL[P₀ ‖ P](x_lrn)"
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items")
    runs_by_default: ClassVar[bool] = True
    sequences_per_row: ClassVar[int] = 3  # with another completion

    epsilon1: float = setting(0.5, "weight of gradient ascent on the targets", search="0.1..2")
    epsilon2: float = setting(1.0, "weight of the mismatched completions")
    epsilon3: float = setting(1.0, "weight of the KL term on the neighbours", search="0.1..5")

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """-e1 NLL(x_tgt) + e2 NLL(mismatch) + e3 KL[P_0 || P](x_lrn)."""
        from unlearnbench.unlearning.completions import random_completions
        from unlearnbench.unlearning.losses import llmu_loss

        if batch.protocol.llmu_mismatch == "neighbour":
            mismatch = batch.neighbour_label_nll
        else:
            mismatch = batch.nll_of(random_completions(batch))
        weights = (self.epsilon1, self.epsilon2, self.epsilon3)
        return llmu_loss(batch.target_nll, mismatch, batch.pair_kl, weights)
