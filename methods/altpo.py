"""AltPO: prefer what the model itself could have said to what must be forgotten."""

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
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.examiner import Examiner


@register
@dataclass(kw_only=True)
class AltPo(ForgetAndRetain):
    """Alternate preference optimisation: one of the model's own alternates is preferred.

    The alternates are sampled once, before training; at each use of a row one of them is drawn.
    """

    name: ClassVar[str] = "altpo"
    label: ClassVar[str] = "AltPO"
    source: ClassVar[str] = "Mekala et al. 2024; constants as OpenUnlearning"
    citation: ClassVar[str] = """@article{mekala2024alternate,
  title = {Alternate Preference Optimization for Unlearning Factual Knowledge in Large Language
           Models},
  author = {Mekala, Anmol and Dorna, Vineeth and Dubey, Shreya and Lalwani, Abhishek and
            Koleczek, David and Rungta, Mukund and Hasan, Sadid and Lobo, Elita},
  journal = {arXiv preprint arXiv:2409.13474},
  year = {2024}
}"""
    formula: ClassVar[str] = (
        "-gamma log sigmoid(beta [(S - S_0)(answer) - (S - S_0)(alternate)]) + alpha NLL(retain); "
        "S, S_0: summed NLL under the model and the original, mean over items"
    )
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items", "alternates")
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="factor",
            released="2/beta",
            code="the preference loss is multiplied by 2/beta, as NPO's is",
            paper="DPO's loss has no factor",
            source="OpenUnlearning, compute_dpo_loss",
        ),
    )
    sequences_per_row: ClassVar[int] = 3  # target, alternate, retain item

    beta: float = setting(
        0.1,
        "how far the preference may move from the original model",
        above=0,
        source="OpenUnlearning's configuration",
        search="0.05..0.5",
    )
    factor: Literal["1", "2/beta"] = setting("1", "of the preference loss")
    n_alternates: int = setting(5, "alternates per row", minimum=1)
    temperature: float = setting(
        1.0, "of their sampling; a model that knows a row by heart needs more to vary", above=0
    )
    top_p: float = setting(1.0, "of their sampling", above=0, maximum=1)
    max_new_tokens: int = setting(200, "of an alternate answer at most", minimum=1)
    redraws: int = setting(3, "times that what repeats its row is drawn again", minimum=0)
    template: str = setting(
        "{question}\nThe known answer is: {answer}\nWrite one other answer, as plausible and about "
        "as long, that states a different fact. Write that answer and nothing else.",
        "what a chat model is asked about question-answer rows; empty: the question alone",
    )

    def __post_init__(self) -> None:
        if self.template and "{question}" not in self.template:  # told before a model is loaded
            raise ValueError("template has no {question}; write where the question goes")

    def unlearn(
        self, model: "LanguageModel", forget_set: "ForgetSet", examiner: "Examiner"
    ) -> "UnlearnTrace":
        """The epoch loop; the trace's reason says how many alternates repeat their rows."""
        self._repeated = 0.0
        trace = super().unlearn(model, forget_set, examiner)
        if self._repeated:
            said = f"{trace.reason}; {self._repeated:.0%} of the alternates repeat their row"
            return trace.model_copy(update={"reason": said})
        return trace

    def prepare(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:
        """Let the original model write the alternates."""
        from unlearnbench.unlearning.alternates import AlternateSettings, sample_alternates
        from unlearnbench.unlearning.alternatives import Alternatives

        how = AlternateSettings(
            n=self.n_alternates,
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_new_tokens,
            redraws=self.redraws,
            template=self.template,
            seed=self.seed,
        )
        alternates = sample_alternates(model, forget_set.rows, how)
        self._repeated = alternates.repeated_share
        self._alternatives = Alternatives(
            model, forget_set, alternates.tokens, self.seed, self.max_epochs, "alternates"
        )

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """The preference for an alternate."""
        from unlearnbench.unlearning.items import preference_loss

        loss = preference_loss(batch.instead(self._alternatives), batch.forget, self.beta)
        return loss * (2 / self.beta if self.factor == "2/beta" else 1)
