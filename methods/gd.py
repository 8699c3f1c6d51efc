"""GradDiff: gradient ascent on the forget items, learning on the retain items."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import PublishedFault

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class GradDiff(ForgetAndRetain):
    """Gradient difference: ascent on the forget items, descent on the retain items."""

    name: ClassVar[str] = "gd"
    label: ClassVar[str] = "GradDiff"
    source: ClassVar[str] = "Liu et al. 2022; Maini et al. 2024 (TOFU), gradient difference"
    citation: ClassVar[str] = """@inproceedings{liu2022continual,
  title = {Continual Learning and Private Unlearning},
  author = {Liu, Bo and Liu, Qiang and Stone, Peter},
  booktitle = {Conference on Lifelong Learning Agents},
  year = {2022}
}"""
    formula: ClassVar[str] = (
        "-gamma NLL(forget) + alpha NLL(retain), each the mean over labelled tokens"
    )
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="retain",
            released="kl_raw_logits",
            corrected="kl",
            code="the KL retain term (KLR) is taken between raw logits, without log-softmax",
            paper="the KL divergence between the two models' distributions",
            source="muse_bench, issue 2; Unlearn-Simple, issue 5",
        ),
        PublishedFault(
            setting="retain",
            released="kl_every_position",
            corrected="kl",
            code="the KL retain term is averaged over every position, prompt and padding too",
            paper="over the retain set's answers",
            source="OpenUnlearning, compute_kl_divergence",
        ),
    )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """-NLL(forget)."""
        return -batch.forget.nll.mean()
