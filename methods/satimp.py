"""SatImp: ascent weighted by saturation and importance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import PublishedFault

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch

_CODE = "the configuration has gamma 0.1, alpha 1"
_PAPER = "gamma 1, alpha 0.1, as the class and its description have it"
_WHERE = "OpenUnlearning, SatImp.yaml; its pull request 192"


@register
@dataclass(kw_only=True)
class SatImp(ForgetAndRetain):
    """Ascent on tokens that are neither quite known nor quite forgotten: p^beta1 (1 - p)^beta2."""

    name: ClassVar[str] = "satimp"
    label: ClassVar[str] = "SatImp"
    source: ClassVar[str] = "Yang et al. 2025"
    citation: ClassVar[str] = """@inproceedings{yang2025exploring,
  title = {Exploring Criteria of Loss Reweighting to Enhance {LLM} Unlearning},
  author = {Yang, Puning and Wang, Qizhou and Huang, Zhuo and Liu, Tongliang and Zhang, Chengqi
            and Han, Bo},
  booktitle = {International Conference on Machine Learning},
  year = {2025}
}"""
    formula: ClassVar[str] = (
        "-gamma sg(p^beta1 (1 - p)^beta2) NLL + alpha NLL(retain), mean over labelled tokens"
    )
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault("gamma", 0.1, _CODE, _PAPER, _WHERE),
        PublishedFault("alpha", 1.0, _CODE, _PAPER, _WHERE),
    )

    alpha: float = setting(
        0.1,
        "weight of the retain term; 0 leaves it out",
        minimum=0,
        source="OpenUnlearning's class and README",
        search="0.01..1",
    )
    beta1: float = setting(
        5.0,
        "saturation: exponent of p",
        minimum=0,
        source="OpenUnlearning's configuration",
        search="1..6",
    )
    beta2: float = setting(
        1.0, "importance: exponent of 1 - p", minimum=0, source="OpenUnlearning's configuration"
    )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """Weighted ascent."""
        items = batch.forget
        nll = items.nll.values
        weights = satimp_weights(nll.detach(), self.beta1, self.beta2)
        return -items.token_values(weights * nll).mean()


def satimp_weights(nll: "Tensor", beta1: float, beta2: float) -> "Tensor":
    """[N] p^beta1 (1 - p)^beta2 from tokens' NLL [N], nats."""
    p = (-nll).exp()
    return p**beta1 * (1 - p) ** beta2
