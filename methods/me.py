"""ME: maximum entropy on the forget items."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import PublishedFault

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class MaximumEntropy(ForgetAndRetain):
    """The distribution on forget items is drawn to the uniform one; learning on retain items."""

    name: ClassVar[str] = "me"
    label: ClassVar[str] = "ME"
    source: ClassVar[str] = "Yuan et al. 2025 (A Closer Look)"
    citation: ClassVar[str] = """@inproceedings{yuan2025closer,
  title = {A Closer Look at Machine Unlearning for Large Language Models},
  author = {Yuan, Xiaojian and Pang, Tianyu and Du, Chao and Chen, Kejiang and Zhang, Weiming
            and Lin, Min},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
    formula: ClassVar[str] = "gamma KL[uniform || P] + alpha NLL(retain), mean over labelled tokens"
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="positions",
            released="predicting",
            code="the mask is off: averaged over all tokens, prompt and padding too",
            paper="the tokens of the answer",
            source="sail-sg/closer-look-LLM-unlearning",
        ),
    )

    gamma: float = setting(
        0.1, "weight of the forget term", source="the authors' released code", search="0.05..1"
    )
    positions: Literal["labelled", "predicting"] = setting(
        "labelled", "over which positions the forget term is averaged; predicting: as released"
    )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """KL[uniform || P]."""
        return batch.forget.values(kl_of_uniform, positions=self.positions).mean()


def kl_of_uniform(logits: "Tensor") -> "Tensor":
    """[N] nats: KL[U || P] = -log V - mean_v log p_v of `logits` [N, V]."""
    from math import log

    return -log(logits.shape[-1]) - logits.log_softmax(-1).mean(-1)
