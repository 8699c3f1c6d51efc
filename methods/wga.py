"""WGA: gradient ascent weighted by confidence."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class Wga(ForgetAndRetain):
    """Weighted gradient ascent: a token counts the less, the less likely it has become."""

    name: ClassVar[str] = "wga"
    label: ClassVar[str] = "WGA"
    source: ClassVar[str] = "Wang et al. 2025 (G-effect)"
    citation: ClassVar[str] = """@inproceedings{wang2025rethinking,
  title = {Rethinking {LLM} Unlearning Objectives: A Gradient Perspective and Go Beyond},
  author = {Wang, Qizhou and Zhou, Jin Peng and Zhou, Zhanke and Shin, Saebyeol and Han, Bo
            and Weinberger, Kilian Q.},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
    formula: ClassVar[str] = (
        "-gamma sg(p^beta) NLL + alpha NLL(retain), mean over labelled tokens; sg: without gradient"
    )

    beta: float = setting(
        1.0,
        "exponent of a token's probability; 0 is gradient ascent",
        minimum=0,
        source="OpenUnlearning's configuration (the authors' code: 5)",
        search="0.5..5",
    )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """Weighted ascent."""
        items = batch.forget
        return -items.token_values(weighted_nll(items.nll.values, self.beta)).mean()


def weighted_nll(nll: "Tensor", beta: float) -> "Tensor":
    """[N] sg(p^beta) l of tokens' NLL l [N], nats, p = exp(-l)."""
    return (-beta * nll.detach()).exp() * nll
