"""TNPO: token-wise NPO."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch

_GUARD = 1e-5  # of the released code, against 0/0


@register
@dataclass(kw_only=True)
class Tnpo(ForgetAndRetain):
    """Token-wise NPO: gradient ascent with NPO's weight for each token instead of each item."""

    name: ClassVar[str] = "tnpo"
    label: ClassVar[str] = "TNPO"
    source: ClassVar[str] = "Wang et al. 2025 (G-effect)"
    citation: ClassVar[str] = """@inproceedings{wang2025rethinking,
  title = {Rethinking {LLM} Unlearning Objectives: A Gradient Perspective and Go Beyond},
  author = {Wang, Qizhou and Zhou, Jin Peng and Zhou, Zhanke and Shin, Saebyeol and Han, Bo
            and Weinberger, Kilian Q.},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
    formula: ClassVar[str] = (
        "-gamma sg(w) NLL + alpha NLL(retain), w = 2 p^beta / (p^beta + p_0^beta), mean over "
        "labelled tokens; p, p_0: a token's probability under the model and the original"
    )
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items")

    beta: float = setting(
        4.0,
        "exponent of the probabilities",
        minimum=0,
        source="the authors' released code",
        search="1..5",
    )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """Weighted ascent."""
        items = batch.forget
        nll = items.nll.values
        weights = tnpo_weights(nll.detach(), items.reference_nll.values, self.beta)
        return -items.token_values(weights * nll).mean()


def tnpo_weights(nll: "Tensor", reference_nll: "Tensor", beta: float) -> "Tensor":
    """[N] 2 p^beta / (p^beta + p_0^beta + 1e-5) from tokens' NLLs [N], nats."""
    own, original = (-beta * nll).exp(), (-beta * reference_nll).exp()
    return 2 * own / (own + original + _GUARD)
