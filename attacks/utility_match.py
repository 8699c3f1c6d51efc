"""Utility matching: the original weights are mixed in until the same utility is back (UWC)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.attacking.attack import Attack, Need, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.attacking.matching import Utility
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel

PHASE = "utility"
_WINDOW = 512  # tokens at most
_MOST_SPLITS = 6  # with items to retain, for the bound of tokens: LUME's


@register
@dataclass(kw_only=True)
class UtilityMatch(Attack):
    """Weights mixed with the original ones until the same share of utility is back.

    theta_alpha = (1 - alpha) theta_0 + alpha theta_u, with the largest alpha that bisection finds
    to keep the share.  Forgetting is then compared at equal utility: a method that pays for
    forgetting with utility must give both back.  A model that keeps the share stays as it is.
    """

    name = "utility_match"
    label = "Utility matched"
    source = "Wang et al. 2024 (2406.09179), unlearning with control"
    citation = """@article{wang2024unlearning,
  title = {Towards Effective Evaluations and Comparisons for {LLM} Unlearning Methods},
  author = {Wang, Qizhou and Han, Bo and Yang, Puning and Zhu, Jianing and Liu, Tongliang and
            Sugiyama, Masashi},
  journal = {arXiv:2406.09179},
  year = {2024}
}"""
    needs = ("original model",)
    runs_by_default: ClassVar[bool] = False
    counts_in_worst_case = False

    share: float = setting(0.95, "of the original's utility that is to be kept", above=0, maximum=1)
    tolerance: float = setting(0.005, "bisection ends this near above the share", minimum=0)
    evaluations: int = setting(8, "of the unlearned model's utility at most", minimum=1)
    utility: Literal["auto", "answers", "perplexity"] = setting(
        "auto",
        "answers: mean probability of answers to a benchmark's retain items, over the original's; "
        "perplexity: the original's on validation texts over the model's; auto: answers where "
        "there are such items",
    )
    items: int = setting(64, "of each retain split, the first ones", minimum=1)
    windows: int = setting(32, "of 512 tokens, of all validation texts together", minimum=1)
    batch_size: int = setting(8, "windows or items that are scored at a time at most", minimum=1)

    def needed(self, has_retain_items: bool) -> tuple[Need, ...]:
        """The validation texts where utility is measured on them."""
        of_answers = self.utility == "answers" or (self.utility == "auto" and has_retain_items)
        return self.needs if of_answers else (*self.needs, "texts")

    def check(
        self,
        model: "LanguageModel",  # noqa: ARG002
        source: "ForgetSource",
        run: str,
        splits: "Sequence[Split]",
    ) -> None:
        """Raise `UserError` for answers of which there are none."""
        if self.utility == "answers" and not any(split.role == "retain" for split in splits):
            raise UserError(
                f"{self.name}: {source.title(run)} has no split of items to retain; measure "
                f"utility on texts: --set {self.name}.utility=perplexity"
            )

    def forward_tokens(self, n_rows: int, length: int) -> int:  # noqa: ARG002
        """Of the original and of each evaluation: the windows, or the items of a few splits."""
        of_texts, of_items = self.windows * _WINDOW, _MOST_SPLITS * self.items * length
        most = {"perplexity": of_texts, "answers": of_items}
        return (self.evaluations + 1) * most.get(self.utility, max(of_texts, of_items))

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """One point: the model at the share of its update that keeps the utility.

        Both networks of a pair that is decoded as one (WHP) go towards the original.
        """
        from unlearnbench.attacking.matching import match_utility
        from unlearnbench.attacking.weights import mix_weights
        from unlearnbench.models.paired import networks_of

        assert target.load_original is not None
        original, networks = target.load_original(), networks_of(model)
        starts = [{n: p.detach().clone() for n, p in net.named_parameters()} for net in networks]

        def mix(alpha: float) -> None:
            for network, start in zip(networks, starts, strict=True):
                mix_weights(network, start, original.network, 1 - alpha)

        with model.meter.phase(PHASE):
            kept = self._utility(original, target)

        def utility(alpha: float) -> float:
            mix(alpha)
            with model.meter.phase(PHASE):
                return kept(model)

        match = match_utility(utility, self.share, self.tolerance, self.evaluations)
        mix(match.alpha)
        facts = {
            "alpha": match.alpha,
            "utility": match.utility,
            "utility_unmatched": match.visited[0][1],
            "evaluations": float(len(match.visited)),
            "largest_rise_of_utility": match.largest_rise,
        }
        yield Point("matched", f"{self.share:.3g} of utility", model, facts=facts)

    def _utility(self, original: "LanguageModel", target: Target) -> "Utility":
        from unlearnbench.attacking.matching import answers_kept, perplexity_kept

        if self.utility == "answers" or (self.utility == "auto" and target.retained):
            return answers_kept(original, target.retained, self.items, self.batch_size)
        return perplexity_kept(original, target, self.windows, self.batch_size)
