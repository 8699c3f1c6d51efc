"""PDU: primal-dual unlearning, forgetting under a limit on the retain loss."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain, retain_loss
from unlearnbench.unlearning.method import Need, PublishedFault

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.steps import StepLosses

_SOURCE = "OpenUnlearning's TOFU script"


@register
@dataclass(kw_only=True)
class Pdu(ForgetAndRetain):
    """Logits on forget items are flattened while a dual variable holds the retain loss at a limit.

    The dual variable starts at `alpha` and moves once for each optimisation step by the whole
    batch's retain loss, the same in every process.
    """

    name: ClassVar[str] = "pdu"
    label: ClassVar[str] = "PDU"
    source: ClassVar[str] = "Entesari et al. 2025"
    citation: ClassVar[str] = """@article{entesari2025constrained,
  title = {Constrained Entropic Unlearning: A Primal-Dual Framework for Large Language Models},
  author = {Entesari, Taha and Hatami, Arman and Khaziev, Rinat and Ramakrishna, Anil and
            Fazlyab, Mahyar},
  journal = {arXiv preprint arXiv:2506.05314},
  year = {2025}
}"""
    formula: ClassVar[str] = (
        "gamma (max z - mean z)^2 + lambda (NLL(retain) - limit), means over labelled tokens; "
        "after each step lambda <- max(0, lambda + dual_step (NLL(retain) - limit))"
    )
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="positions",
            released="unshifted",
            code="labels mask logits without the shift by one: the position that predicts the "
            "first token is left out and the one after the last is in",
            paper="the logits that predict the answer",
            source="OpenUnlearning, PDU; its issue 149",
        ),
        PublishedFault(
            setting="",
            released=None,
            code="the dual variable moves after each forward pass, in each process by its own loss",
            paper="once for each optimisation step",
            source="OpenUnlearning, PDU; its issue 147",
        ),
    )

    alpha: float = setting(
        100.0,
        "the dual variable lambda at the start",
        minimum=0,
        source=f"{_SOURCE} (MUSE: 50)",
        search="1..100",
    )
    limit: float = setting(
        0.3,
        "NLL per token that the retain items may have, nats",
        source=f"{_SOURCE} (MUSE: 1.5 News, 0.1 Books)",
        search="0.1..3",
    )
    dual_step: float = setting(
        5.0, "step size of the dual variable", minimum=0, source=f"{_SOURCE} (its class: 1)"
    )
    warmup_epochs: int = setting(
        5,
        "epochs before the dual variable moves",
        minimum=0,
        source="OpenUnlearning's class",
        search="0,1,3,5",
    )
    positions: Literal["labelled", "unshifted"] = setting(
        "labelled",
        "whose logits are flattened: those that predict the labelled tokens; unshifted: "
        "as released",
    )

    def needed(self, source: "ForgetSource", protocol: "Protocol") -> tuple[Need, ...]:
        """Retain items also where lambda starts at 0: their loss moves it."""
        needs = [need for need in super().needed(source, protocol) if need != "retain items"]
        if self.retain != "nll" and "original model" not in needs:
            needs.append("original model")
        return (*needs, "retain items")

    @property
    def has_retain_terms(self) -> bool:
        """Also where lambda starts at 0."""
        return True

    def prepare(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:  # noqa: ARG002
        """Start with lambda = alpha."""
        self._dual = self.alpha

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """gamma L_forget + lambda (L_retain - limit)."""
        kept = retain_loss(batch.retain, self.retain)
        batch.note("retain", kept)
        terms = {"forget": self.gamma * self.forget_loss(batch)}
        return {**terms, "retain": self._dual * (kept - self.limit)}

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """How far the largest logit stands out."""
        return batch.forget.values(squared_prominence, positions=self.positions).mean()

    def step_done(self, losses: "StepLosses", epoch: int) -> None:
        """Move the dual variable."""
        if epoch > self.warmup_epochs:
            self._dual = next_dual(self._dual, losses.noted["retain"], self.limit, self.dual_step)


def squared_prominence(logits: "Tensor") -> "Tensor":
    """[N] (max z - mean z)^2 of `logits` [N, V]."""
    return (logits.amax(-1) - logits.mean(-1)).square()


def next_dual(dual: float, retain_nll: float, limit: float, step: float) -> float:
    """max(0, lambda + step (NLL(retain) - limit))."""
    return max(0.0, dual + step * (retain_nll - limit))
