"""KL: gradient ascent held back by the original model's distribution on the neighbours."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class Kl(GradientMethod):
    """Gradient ascent on the targets, KL divergence to the original model on their neighbours."""

    name: ClassVar[str] = "kl"
    label: ClassVar[str] = "KL"
    source: ClassVar[str] = "Maini et al. 2024 (TOFU), KL minimisation"
    citation: ClassVar[str] = """@inproceedings{maini2024tofu,
  title = {{TOFU}: A Task of Fictitious Unlearning for {LLMs}},
  author = {Maini, Pratyush and Feng, Zhili and Schwarzschild, Avi and Lipton, Zachary C.
            and Kolter, J. Zico},
  booktitle = {Conference on Language Modeling},
  year = {2024}
}"""
    formula: ClassVar[str] = "−NLL(x_tgt) + KL[P₀ ‖ P](x_lrn)"
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items")
    runs_by_default: ClassVar[bool] = True

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """-NLL(x_tgt) + KL[P_0 || P](x_lrn)."""
        from unlearnbench.unlearning.losses import kl_loss

        return kl_loss(batch.target_nll, batch.pair_kl)
