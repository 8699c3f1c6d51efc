"""UNDIAL: self-distillation with the label's logit turned down."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import Need, PublishedFault

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class Undial(ForgetAndRetain):
    """The model learns the original's distribution with the logit of each label lowered by beta."""

    name: ClassVar[str] = "undial"
    label: ClassVar[str] = "UNDIAL"
    source: ClassVar[str] = "Dong et al. 2024, eq. 3"
    citation: ClassVar[str] = """@inproceedings{dong2025undial,
  title = {{UNDIAL}: Self-Distillation with Adjusted Logits for Robust Unlearning in Large
           Language Models},
  author = {Dong, Yijiang River and Lin, Hongzhou and Belkin, Mikhail and Huerta, Ramon and
            Vuli{\\'c}, Ivan},
  booktitle = {Proceedings of NAACL},
  year = {2025}
}"""
    formula: ClassVar[str] = (
        "gamma CE(softmax(z_0 - beta onehot(label)), softmax(z)) + alpha NLL(retain), mean over "
        "labelled tokens"
    )
    needs: ClassVar[tuple[Need, ...]] = ("original model",)
    keeps_reference: ClassVar[bool] = True
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="positions",
            released="predicting",
            code="averaged over prompt and padding too, where the label -100 lowers the logit of "
            "the vocabulary's hundredth token from the end",
            paper="the tokens of the answer (the authors' own code labels every token)",
            source="OpenUnlearning, compute_undial_loss",
        ),
    )
    sequences_per_row: ClassVar[int] = 1

    learning_rate: float = setting(
        1e-4,
        "Adam's step size",
        above=0,
        source="OpenUnlearning's configuration; Dong et al. 2024",
        search="1e-5..3e-4",
    )
    beta: float = setting(
        10.0,
        "by how much a label's logit is lowered",
        source="OpenUnlearning's configuration; Dong et al. 2024 try 3, 10, 30",
        search="3..30",
    )
    alpha: float = setting(
        0.0, "weight of the retain term; 0 leaves it out", source="OpenUnlearning's configuration"
    )
    positions: Literal["labelled", "predicting"] = setting(
        "labelled", "over which positions the loss is averaged; predicting: as released"
    )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """The cross-entropy to the adjusted original."""
        items = batch.forget
        return items.values_beside_original(
            lambda own, original, label: undial_cross_entropy(own, original, label, self.beta),
            items.labels_at(self.positions),
            positions=self.positions,
        ).mean()


def undial_cross_entropy(
    logits: "Tensor", reference_logits: "Tensor", labels: "Tensor", beta: float
) -> "Tensor":
    """[N] nats: -sum softmax(z_0 - beta onehot(label)) log softmax(z), eq. 3.

    A label of -100, as published code has it, means the vocabulary's hundredth token from the end.
    """
    import torch

    target, wanted = reference_logits, labels % logits.shape[-1]
    lowered = torch.full_like(wanted[:, None], -beta, dtype=target.dtype)
    target = target.scatter_add(-1, wanted[:, None], lowered).softmax(-1)
    return -(target * logits.log_softmax(-1)).sum(-1)
