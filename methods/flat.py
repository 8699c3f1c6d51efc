"""FLAT: an f-divergence between refusals and what must be forgotten."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import Need, PublishedFault

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.items import Items

_WRONG_SIGN = ("reverse_kl", "squared_hellinger", "neyman")


@register
@dataclass(kw_only=True)
class Flat(ForgetAndRetain):
    """Loss adjustment: refusals become likelier and answers less so, by an f-divergence's terms.

    It needs neither retain items nor the original model.  The divergences reverse_kl,
    squared_hellinger and neyman are refused: as they are published, they make refusals less
    likely or answers likelier.
    """

    name: ClassVar[str] = "flat"
    label: ClassVar[str] = "FLAT"
    source: ClassVar[str] = "Wang et al. 2024 (FLAT), table 1"
    citation: ClassVar[str] = """@inproceedings{wang2025flat,
  title = {{LLM} Unlearning via Loss Adjustment with Only Forget Data},
  author = {Wang, Yaxuan and Wei, Jiaheng and Liu, Chris Yuhao and Pang, Jinlong and Liu, Quan
            and Shah, Ankit Parag and Bao, Yujia and Liu, Yang and Wei, Wei},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
    formula: ClassVar[str] = (
        "gamma [a(P_g) + b(P_f)], a and b by the divergence; P_g, P_f: the mean probability of a "
        "refusal's and of an answer's tokens over the batch"
    )
    needs: ClassVar[tuple[Need, ...]] = ("refusals",)
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="positions",
            released="every",
            code="the mean is taken over all positions; prompt and padding count as 0",
            paper="the mean over an answer's tokens",
            source="UCSC-REAL/FLAT",
        ),
        PublishedFault(
            setting="",
            released=None,
            code="reverse KL, squared Hellinger and Neyman have an inverted sign",
            paper="refusals become likelier and answers less so",
            source="UCSC-REAL/FLAT; by reading",
        ),
    )

    alpha: float = setting(
        0.0,
        "weight of the retain term; 0 leaves it out",
        minimum=0,
        source="Wang et al.: no term",
        search="none",
    )
    divergence: Literal[
        "total_variation",
        "kl",
        "pearson",
        "jensen_shannon",
        "jeffrey",
        "reverse_kl",
        "squared_hellinger",
        "neyman",
    ] = setting("kl", "which f-divergence")
    positions: Literal["labelled", "every"] = setting(
        "labelled", "over which positions probabilities are averaged; every: as released"
    )

    def __post_init__(self) -> None:
        if self.divergence in _WRONG_SIGN:
            raise ValueError(
                f"divergence {self.divergence} as published makes refusals less likely or answers "
                "likelier; take total_variation, kl, pearson, jensen_shannon or jeffrey"
            )

    def prepare(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:
        """Draw the refusals of all epochs."""
        from unlearnbench.unlearning.alternatives import drawn_refusals

        self._alternatives = drawn_refusals(model, forget_set, self.seed, self.max_epochs)

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """a(P_g) + b(P_f)."""

        def of_refusals(some: "UnlearnBatch") -> "Tensor":
            return self._mean_probability(some.instead(self._alternatives))

        refused = batch.of_mean(lambda p: flat_terms(p, self.divergence)[0], of_refusals)
        known = batch.of_mean(
            lambda p: flat_terms(p, self.divergence)[1],
            lambda some: self._mean_probability(some.forget),
        )
        return refused + known

    def _mean_probability(self, items: "Items") -> "Tensor":
        mean = items.token_values((-items.nll.values).exp()).mean()
        if self.positions == "labelled":
            return mean
        n_rows, width = items.whole.input_ids.shape
        return mean * (sum(items.whole_counts) / (n_rows * (width - 1)))


def flat_terms(p: "Tensor", divergence: str) -> "tuple[Tensor, Tensor]":
    """What a mean probability counts for, if it is that of refusals and if it is that of answers.

    The loss is the sum of the first at P_g and of the second at P_f.
    """
    from math import log

    match divergence:
        case "total_variation":
            return -p.tanh() / 2, p.tanh() / 2
        case "kl":
            return -p, (p - 1).exp()
        case "pearson":
            return -p, p + p**2 / 4
        case "jensen_shannon":
            return (-p).exp().log1p(), p + (-p).exp().log1p() - 2 * log(2)
        case "jeffrey":
            return -p, p + p**2 / 4 + p**3 / 16
    raise ValueError(f"{divergence} as published has an inverted sign")
