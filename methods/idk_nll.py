"""IdkNLL: refusals are learnt in place of the answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class IdkNll(ForgetAndRetain):
    """Learning refusals, drawn anew at each use, in place of the answers; and the retain items.

    The answers themselves are in no term.
    """

    name: ClassVar[str] = "idk_nll"
    label: ClassVar[str] = "IdkNLL"
    source: ClassVar[str] = "Maini et al. 2024 (TOFU), preference optimisation without preference"
    citation: ClassVar[str] = """@inproceedings{maini2024tofu,
  title = {{TOFU}: A Task of Fictitious Unlearning for {LLMs}},
  author = {Maini, Pratyush and Feng, Zhili and Schwarzschild, Avi and Lipton, Zachary C.
            and Kolter, J. Zico},
  booktitle = {Conference on Language Modeling},
  year = {2024}
}"""
    formula: ClassVar[str] = (
        "gamma NLL(refusal) + alpha NLL(retain), each the mean over labelled tokens"
    )
    needs: ClassVar[tuple[Need, ...]] = ("retain items", "refusals")

    def prepare(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:
        """Draw the refusals of all epochs."""
        from unlearnbench.unlearning.alternatives import drawn_refusals

        self._alternatives = drawn_refusals(model, forget_set, self.seed, self.max_epochs)

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """NLL(refusal)."""
        return batch.instead(self._alternatives).nll.mean()
