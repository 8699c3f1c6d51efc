"""Entropy-regularised NPO, a plugin of unlearnbench."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import unlearnbench as ub

if TYPE_CHECKING:
    from torch import Tensor


@ub.register
@dataclass(kw_only=True)
class EntropyRegularised(ub.ForgetAndRetain):
    """NPO whose answers are made certain on forget items and kept uncertain on retain items."""

    name: ClassVar[str] = "er"
    label: ClassVar[str] = "NPO + ER"
    source: ClassVar[str] = "Scholten et al. 2024, section 5"
    citation: ClassVar[str] = """@article{scholten2024probabilistic,
  title = {A Probabilistic Perspective on Unlearning and Alignment for Large Language Models},
  author = {Scholten, Yan and G{\\"u}nnemann, Stephan and Schwinn, Leo},
  journal = {arXiv preprint arXiv:2410.03523},
  year = {2024}
}"""
    formula: ClassVar[str] = (
        "NPO(forget) + lambda_f H(forget) + alpha NLL(retain) + lambda_r H(retain); H: the mean "
        "entropy of what is predicted at the labelled tokens"
    )
    needs: ClassVar = ("original model", "retain items")

    beta: float = ub.setting(0.05, "NPO's inverse temperature", above=0, source="Scholten et al.")
    forget_entropy: float = ub.setting(
        1.0, "weight of the entropy on forget items", source="Scholten et al."
    )
    retain_entropy: float = ub.setting(
        -0.25, "weight of the entropy on retain items", source="Scholten et al."
    )

    def forget_loss(self, batch: "ub.UnlearnBatch") -> "Tensor":
        """NPO and the entropy on forget items."""
        from unlearnbench.unlearning.losses import npo_losses

        items = batch.forget
        npo = npo_losses(items.nll.sums(), items.reference_nll.sums(), self.beta).mean()
        return npo + self.forget_entropy * items.values(entropy).mean()

    def loss(self, batch: "ub.UnlearnBatch") -> "dict[str, Tensor]":
        """The two terms of every such method, and the entropy on retain items."""
        return {
            **super().loss(batch),
            "retain_entropy": self.retain_entropy * batch.retain.values(entropy).mean(),
        }


def entropy(logits: "Tensor") -> "Tensor":
    """[N] nats, of the distribution that `logits` [N, V] make at each position."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)
