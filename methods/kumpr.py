"""KUMPR: knowledge unlearning by gradient ascent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.unlearning.gradient_method import GradientMethod

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class Kumpr(GradientMethod):
    """Gradient ascent on the sequences to forget.

    The authors' own settings are one full batch per step and a learning rate of
    5e-5: `--set kumpr.batch_size=128 --set kumpr.learning_rate=5e-5`.
    """

    name: ClassVar[str] = "kumpr"
    label: ClassVar[str] = "KUMPR"
    source: ClassVar[str] = "Jang et al. 2023, eq. 1"
    citation: ClassVar[str] = """@inproceedings{jang2023knowledge,
  title = {Knowledge Unlearning for Mitigating Privacy Risks in Language Models},
  author = {Jang, Joel and Yoon, Dongkeun and Yang, Sohee and Cha, Sungmin and Lee, Moontae
            and Logeswaran, Lajanugen and Seo, Minjoon},
  booktitle = {Proceedings of ACL},
  year = {2023}
}"""
    formula: ClassVar[str] = "−NLL(x_tgt)"
    runs_by_default: ClassVar[bool] = True
    authors_ma_threshold: ClassVar[float] = 0.2994
    sequences_per_row: ClassVar[int] = 1
    keeps_reference: ClassVar[bool] = False
    retain_terms: ClassVar[frozenset[str]] = frozenset()

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """-NLL(x_tgt)."""
        from unlearnbench.unlearning.losses import kumpr_loss

        return kumpr_loss(batch.target_nll)
