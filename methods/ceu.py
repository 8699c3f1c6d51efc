"""CE-U: cross-entropy unlearning."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class CeU(ForgetAndRetain):
    """The model learns its own distribution without the label, which loses no more than that."""

    name: ClassVar[str] = "ceu"
    label: ClassVar[str] = "CE-U"
    source: ClassVar[str] = "Yang 2025, cross-entropy unlearning"
    citation: ClassVar[str] = """@article{yang2025ceu,
  title = {{CE-U}: Cross Entropy Unlearning},
  author = {Yang, Bo},
  journal = {arXiv preprint arXiv:2503.01224},
  year = {2025}
}"""
    formula: ClassVar[str] = (
        "gamma CE(sg softmax(z with the label's logit at -inf), softmax(z)), mean over an answer's "
        "tokens after its first"
    )
    needs: ClassVar[tuple[Need, ...]] = ()
    sequences_per_row: ClassVar[int] = 1

    alpha: float = setting(
        0.0,
        "weight of the retain term; 0 leaves it out",
        minimum=0,
        source="Yang 2025: no term",
        search="none",
    )
    skipped: int = setting(
        1, "first tokens of an answer that are left out", minimum=0, source="the authors' code"
    )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """The cross-entropy to the model without the labels."""
        import torch

        items = batch.forget
        values = items.values(cross_entropy_without_label, items.labels).values
        places = torch.cat([torch.arange(n) for n in items.counts]).to(values.device)
        kept = items.token_values(values * (places >= self.skipped)).mean()
        n_kept = sum(max(n - self.skipped, 0) for n in items.whole_counts)
        # The mean is over the tokens that are left, not over all.
        return kept * (sum(items.whole_counts) / max(n_kept, 1))


def cross_entropy_without_label(logits: "Tensor", labels: "Tensor") -> "Tensor":
    """[N] nats: CE of the model's distribution to itself without the label; no gradient in that."""
    target = logits.detach().scatter(-1, labels[:, None], float("-inf")).softmax(-1)
    return -(target * logits.log_softmax(-1)).sum(-1)
