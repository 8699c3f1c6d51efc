"""What most of the field's methods share: a forget term, and a retain term beside it."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from unlearnbench.settings import setting
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.protocol import Protocol
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.items import Items, Positions

RetainLoss = Literal["nll", "kl", "kl_every_position", "kl_raw_logits"]


@dataclass(kw_only=True)
class ForgetAndRetain(GradientMethod):
    """L = gamma L_forget + alpha L_retain.

    Both terms are means over the batch's labelled tokens or over its items, as the method's
    authors have it, whatever the protocol's reduction: their constants mean something only so.
    """

    needs: ClassVar[tuple[Need, ...]] = ("retain items",)
    keeps_reference: ClassVar[bool] = False
    # The released protocol's span, the whole text with padding, is that of another paper's code.
    released_settings: ClassVar[Mapping[str, Any]] = {"labels": "answers"}

    learning_rate: float = setting(
        1e-5,
        "Adam's step size",
        above=0,
        source="OpenUnlearning's configuration",
        search="5e-6..1e-4",
    )
    gamma: float = setting(1.0, "weight of the forget term")
    alpha: float = setting(
        1.0, "weight of the retain term; 0 leaves it out", minimum=0, search="0.1..5"
    )
    retain: Literal["nll", "kl", "kl_every_position", "kl_raw_logits"] = setting(
        "nll",
        "retain term: NLL of the retain items, or KL[P_0 || P] on their labelled tokens; as "
        "published also on every position, padding too, or between raw logits (MUSE's KLR)",
    )
    labels: Literal["protocol", "answers"] = setting(
        "protocol",
        "labelled tokens: those of the protocol's loss_span, or answers (suffixes) alone whatever "
        "it says; under --protocol released: answers",
    )

    def needed(self, source: "ForgetSource", protocol: "Protocol") -> tuple[Need, ...]:
        """Retain items where they have a weight, and the original for a KL term on them."""
        needs: list[Need] = [
            need for need in super().needed(source, protocol) if need != "retain items"
        ]
        if self.alpha:
            needs.append("retain items")
            if self.retain != "nll" and "original model" not in needs:
                needs.append("original model")
        return tuple(needs)

    @property
    def has_retain_terms(self) -> bool:
        """Not where the retain term is left out."""
        return self.alpha != 0

    @property
    def keeps_original_outputs(self) -> bool:
        """For a KL term on the retain items, too."""
        return self.keeps_reference or (self.alpha > 0 and self.retain.startswith("kl"))

    def losses_protocol(self, protocol: "Protocol") -> "Protocol":
        """The protocol's span, or the answers alone."""
        if self.labels == "protocol":
            return protocol
        answers = {"loss_span": "suffix", "pad_tokens": "ignore", "kl_term": "divergence"}
        return replace(protocol, **answers)  # type: ignore[arg-type]

    @abstractmethod
    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """The forget term without its weight."""

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """gamma L_forget + alpha L_retain."""
        terms = {"forget": self.gamma * self.forget_loss(batch)}
        if self.alpha:
            terms["retain"] = self.alpha * retain_loss(batch.retain, self.retain)
        return terms


def retain_loss(items: "Items", kind: RetainLoss) -> "Tensor":
    """The mean over the retain items' positions in nats: of their NLL, or of KL[P_0 || P]."""
    from unlearnbench.unlearning.losses import kl_divergence, kl_of_raw_logits

    if kind == "nll":
        return items.nll.mean()
    if kind == "kl_raw_logits":
        # 'batchmean': summed over positions and vocabulary, divided by the items.
        values = items.values_beside_original(kl_of_raw_logits, positions="every")
        return values.sums().mean()
    where: Positions = "labelled" if kind == "kl" else "every"
    return items.values_beside_original(
        lambda own, original: kl_divergence(original, own), positions=where
    ).mean()
