"""AltPO: prefer what the model itself could have said to what must be forgotten."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.gradient_method import GradientMethod

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.examiner import Examiner


@register
@dataclass(kw_only=True)
class AltPo(GradientMethod):
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
    sequences_per_row: ClassVar[int] = 3  # target, alternate, pair
    keeps_reference: ClassVar[bool] = False
    in_default_run: ClassVar[bool] = False

    beta: float = setting(0.1, "how far the preference may move from the original model", above=0)
    alpha: float = setting(1.0, "weight of learning the neighbours; 0 leaves it out", minimum=0)
    scale: Literal["1", "2/beta"] = setting(
        "1", "factor of the preference loss: that of DPO, or OpenUnlearning's 2/beta"
    )
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
        from unlearnbench.unlearning.completions import completed

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
        # [n] of all rows with their first, second, ... alternate.
        self._completed = [
            completed(forget_set.rows, own, model.pad_token_id, model.max_length)
            for own in zip(*alternates.tokens, strict=True)
        ]

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """-scale log sigmoid(beta [dlogp(alternate) - dlogp(x_tgt)]) + alpha NLL(x_lrn)."""
        from unlearnbench.unlearning.completions import drawn_preference_loss
        from unlearnbench.unlearning.losses import altpo_loss, preference_scale

        return altpo_loss(
            drawn_preference_loss(batch, self._completed, self.beta),
            batch.pair_nll if self.alpha else None,
            preference_scale(self.scale, self.beta),
            self.alpha,
        )
