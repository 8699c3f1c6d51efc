"""NPO: negative preference optimisation."""

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
class Npo(ForgetAndRetain):
    """Negative preference optimisation: DPO's loss with the rejected answer alone.

    Its gradient is that of gradient ascent, times a weight for each item that falls to 0 as the
    item becomes less likely than under the original model.
    """

    name: ClassVar[str] = "npo"
    label: ClassVar[str] = "NPO"
    source: ClassVar[str] = "Zhang et al. 2024, eq. 3"
    citation: ClassVar[str] = """@inproceedings{zhang2024negative,
  title = {Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning},
  author = {Zhang, Ruiqi and Lin, Licong and Bai, Yu and Mei, Song},
  booktitle = {Conference on Language Modeling},
  year = {2024}
}"""
    formula: ClassVar[str] = (
        "-gamma (2/beta) log sigmoid(beta (S - S_0)) + alpha NLL(retain); S, S_0: an item's summed "
        "NLL under the model and the original, mean over items"
    )
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items")
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="scores",
            released="raw_logits",
            code="the log-ratio is the difference of raw logits, averaged over the vocabulary and "
            "every position",
            paper="the difference of an answer's log-likelihoods",
            source="muse_bench, issue 2",
        ),
    )

    beta: float = setting(
        0.1,
        "inverse temperature; towards 0 the loss becomes gradient ascent",
        above=0,
        source="Zhang et al. 2024; OpenUnlearning's configuration (its class: 1)",
        search="0.05..0.5",
    )
    scores: Literal["log_probabilities", "raw_logits"] = setting(
        "log_probabilities", "what the ratio to the original model is made of"
    )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """NPO over the forget items."""
        from unlearnbench.unlearning.losses import npo_losses

        items = batch.forget
        if self.scores == "raw_logits":
            return items.values_beside_original(
                lambda own, original: npo_of_raw_logits(own, original, self.beta),
                positions="every",
            ).mean()
        return npo_losses(items.nll.sums(), items.reference_nll.sums(), self.beta).mean()


def npo_of_raw_logits(logits: "Tensor", reference_logits: "Tensor", beta: float) -> "Tensor":
    """[N] MUSE's NPO at each position: the mean over the vocabulary of logits' differences."""
    from torch.nn.functional import logsigmoid

    difference = reference_logits - logits
    return -2 / beta * logsigmoid(beta * difference).mean(-1)
