"""SimNPO: NPO with the length-normalised likelihood, without a reference."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import PublishedFault

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch

_SOURCE = "Fan et al. 2024 (TOFU); OpenUnlearning's configuration differs"
_CODE = "OpenUnlearning ships beta 4.5, weight 0.125"
_PAPER = "beta 2.5, weight 0.1375 on TOFU"


@register
@dataclass(kw_only=True)
class SimNpo(ForgetAndRetain):
    """Simple NPO: an item's NLL per token above a margin, without the original model."""

    name: ClassVar[str] = "simnpo"
    label: ClassVar[str] = "SimNPO"
    source: ClassVar[str] = "Fan et al. 2024, eq. 4"
    citation: ClassVar[str] = """@article{fan2024simplicity,
  title = {Simplicity Prevails: Rethinking Negative Preference Optimization for {LLM} Unlearning},
  author = {Fan, Chongyu and Liu, Jiancheng and Lin, Licong and Jia, Jinghan and Zhang, Ruiqi
            and Mei, Song and Liu, Sijia},
  journal = {arXiv preprint arXiv:2410.07163},
  year = {2024}
}"""
    formula: ClassVar[str] = (
        "-gamma (2/beta) log sigmoid(beta (M - delta)) + alpha NLL(retain); M: an item's mean NLL "
        "per token, mean over items"
    )
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault("beta", 4.5, _CODE, _PAPER, "OpenUnlearning, SimNPO.yaml"),
        PublishedFault("gamma", 0.125, _CODE, _PAPER, "OpenUnlearning, SimNPO.yaml"),
    )

    beta: float = setting(2.5, "inverse temperature", above=0, source=_SOURCE, search="1..5")
    delta: float = setting(0.0, "margin: the NLL per token that is aimed at, nats", source=_SOURCE)
    gamma: float = setting(0.1375, "weight of the forget term", source=_SOURCE, search="0.05..1")

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """SimNPO over the forget items."""
        from unlearnbench.unlearning.losses import simnpo_losses

        return simnpo_losses(batch.forget.nll.means(), self.beta, self.delta).mean()
