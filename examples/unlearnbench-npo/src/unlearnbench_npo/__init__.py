"""NPO: negative preference optimisation, a plugin of unlearnbench."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import unlearnbench as ub

if TYPE_CHECKING:
    from torch import Tensor


@ub.register
@dataclass(kw_only=True)
class Npo(ub.GradientMethod):
    """Negative preference optimisation: DPO's loss with the rejected completion alone."""

    name: ClassVar[str] = "npo"
    label: ClassVar[str] = "NPO"
    source: ClassVar[str] = "Zhang et al. 2024, eq. 3"
    citation: ClassVar[str] = """@article{zhang2024negative,
  title = {Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning},
  author = {Zhang, Ruiqi and Lin, Licong and Bai, Yu and Mei, Song},
  journal = {arXiv preprint arXiv:2404.05868},
  year = {2024}
}"""

    beta: float = ub.setting(0.1, "inverse temperature; towards 0 the loss becomes gradient ascent")

    def loss(self, batch: "ub.UnlearnBatch") -> "dict[str, Tensor]":
        """(2 / beta) mean of log(1 + (P(x_tgt) / P_0(x_tgt))^beta) over the rows."""
        return {
            "npo": npo_loss(batch.target_nll_per_row, batch.reference_target_nll_per_row, self.beta)
        }


def npo_loss(nll_per_row: "Tensor", reference_nll_per_row: "Tensor", beta: float) -> "Tensor":
    """NPO from the rows' NLLs [B], nats, under the model and under the original one."""
    import torch.nn.functional as F

    log_ratio = reference_nll_per_row - nll_per_row
    return -2 / beta * F.logsigmoid(-beta * log_ratio).mean()
