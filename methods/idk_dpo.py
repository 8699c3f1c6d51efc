"""IdkDPO: a refusal is preferred to the answer that must be forgotten."""

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


@register
@dataclass(kw_only=True)
class IdkDpo(ForgetAndRetain):
    """DPO with a refusal, drawn anew at each use, as what is preferred; learning on retain items.

    `dpo` is the paper's: one alternative for each row, and no retain term.
    """

    name: ClassVar[str] = "idk_dpo"
    label: ClassVar[str] = "IdkDPO"
    source: ClassVar[str] = "Maini et al. 2024 (TOFU); Rafailov et al. 2023, eq. 7"
    citation: ClassVar[str] = """@inproceedings{maini2024tofu,
  title = {{TOFU}: A Task of Fictitious Unlearning for {LLMs}},
  author = {Maini, Pratyush and Feng, Zhili and Schwarzschild, Avi and Lipton, Zachary C.
            and Kolter, J. Zico},
  booktitle = {Conference on Language Modeling},
  year = {2024}
}"""
    formula: ClassVar[str] = (
        "-gamma log sigmoid(beta [(S - S_0)(answer) - (S - S_0)(refusal)]) + alpha NLL(retain); "
        "S, S_0: summed NLL under the model and the original, mean over items"
    )
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items", "refusals")
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="factor",
            released="2/beta",
            code="the preference loss is multiplied by 2/beta, as NPO's is",
            paper="DPO's loss has no factor",
            source="OpenUnlearning, compute_dpo_loss",
        ),
    )
    sequences_per_row: ClassVar[int] = 3

    beta: float = setting(
        0.1,
        "how far the preference may move from the original model",
        above=0,
        source="Maini et al. 2024; OpenUnlearning's configuration (its class: 1)",
        search="0.05..0.5",
    )
    factor: Literal["1", "2/beta"] = setting("1", "of the preference loss")

    def prepare(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:
        """Draw the refusals of all epochs."""
        from unlearnbench.unlearning.alternatives import drawn_refusals

        self._alternatives = drawn_refusals(model, forget_set, self.seed, self.max_epochs)

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """The preference for the alternative."""
        from unlearnbench.unlearning.items import preference_loss

        loss = preference_loss(batch.instead(self._alternatives), batch.forget, self.beta)
        return loss * (2 / self.beta if self.factor == "2/beta" else 1)
