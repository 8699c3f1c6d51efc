"""DPO: prefer another completion to the one that must be forgotten."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.examiner import Examiner


@register
@dataclass(kw_only=True)
class Dpo(GradientMethod):
    """Direct preference optimisation: the neighbour, or a refusal, is preferred to the target.

    The preference loss is optimised by trl's DPO trainer; over several processes, in parts
    or with less memory by the same loop as every other method, as is the released code's
    cross-entropy (`dpo_loss`).
    """

    name: ClassVar[str] = "dpo"
    label: ClassVar[str] = "DPO"
    source: ClassVar[str] = "Rafailov et al. 2023, eq. 7; Maini et al. 2024 (TOFU)"
    citation: ClassVar[str] = """@inproceedings{rafailov2023direct,
  title = {Direct Preference Optimization: Your Language Model is Secretly a Reward Model},
  author = {Rafailov, Rafael and Sharma, Archit and Mitchell, Eric and Manning, Christopher D.
            and Ermon, Stefano and Finn, Chelsea},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023}
}"""
    formula: ClassVar[str] = "−log σ(β [Δ log p(alternative) − Δ log p(x_tgt)]), Δ = log p − log p₀"
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items")
    runs_by_default: ClassVar[bool] = True
    authors_stop_rule: ClassVar[Literal["and", "or"]] = "or"
    keeps_reference: ClassVar[bool] = False

    beta: float = setting(
        0.1, "how far the preference may move from the original model", search="0.05..0.5"
    )

    def needed(self, source: "ForgetSource", protocol: "Protocol") -> tuple[Need, ...]:
        """No neighbours where refusals are preferred."""
        takes_refusals = protocol.dpo_loss == "preference" and source.refusals
        return ("original model",) if takes_refusals else super().needed(source, protocol)

    def unlearn(
        self, model: "LanguageModel", forget_set: "ForgetSet", examiner: "Examiner"
    ) -> "UnlearnTrace":
        """Train `model` in place, by trl or by the epoch loop, as protocol and strategy say."""
        from unlearnbench.models.paired import Pair

        by_trl = forget_set.protocol.dpo_loss == "preference" and not self.wrapper_kinds
        is_pair = Pair.of(model.network) is not None  # whose head trl would go round
        if not by_trl or is_pair or model.strategy.identity:
            return super().unlearn(model, forget_set, examiner)
        from unlearnbench.unlearning.steps import global_generators_kept

        with global_generators_kept():  # trl seeds them when it is imported
            from unlearnbench.unlearning.dpo_training import unlearn_by_preference

        return unlearn_by_preference(self, model, forget_set, examiner, self.beta)

    def prepare(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:
        """Choose what each row is to say instead."""
        from unlearnbench.unlearning.completions import preferred_sequences

        if forget_set.protocol.dpo_loss == "preference":
            self._preferred = preferred_sequences(model, forget_set, self.seed)

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """-log sigmoid(beta margin), or the released loss: the neighbour's tokens as the target's
        labels, plus NLL(x_lrn)."""
        from unlearnbench.unlearning.completions import preference_loss
        from unlearnbench.unlearning.losses import dpo_released_loss

        if batch.protocol.dpo_loss == "preference":
            return preference_loss(batch, self._preferred, self.beta)
        return dpo_released_loss(batch.neighbour_label_nll, batch.pair_nll)
