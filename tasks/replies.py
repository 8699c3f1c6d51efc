"""What a model writes after the questions of a benchmark's splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.data.items import select
from unlearnbench.metrics.task import SPLITS, Measurement, Task, TaskContext
from unlearnbench.registry import register
from unlearnbench.results.score import Metric
from unlearnbench.settings import setting

from ._splits import Column, SplitScores, first_of

if TYPE_CHECKING:
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel

_KEPT = 200  # characters of a reply that a result holds, for people to read

_RECALL = Column("rouge_l_recall", "ROUGE-L recall (%)")
_F1 = Column("rouge_l_f1", "ROUGE-L F1 (%)")
_MATCH = Column("exact_match", "exact match (%)")
_ENTROPY = Column("ngram_entropy", "n-gram entropy", "bits", 1.0, 2, high="fluent")
_FLUENT = Column("fluent", "fluency (%)", high="fluent")


@register
@dataclass(kw_only=True)
class Replies(Task):
    """ROUGE-L, exact match and fluency of the greedy replies to questions."""

    name = "replies"
    source = (
        "Lin 2004 (rouge-score); Maini et al. 2024 (TOFU); Shi et al. 2025 (MUSE); "
        "Ramakrishna et al. 2025 (LUME); Jin et al. 2024 (RWKU)"
    )
    needs = (SPLITS,)
    measures = ("rouge", "exact_match", "fluency")
    runs_by_default: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = ()  # by split

    stemmer: bool = setting(
        True, "whether ROUGE compares stems, as TOFU does, or whole words, as MUSE does"
    )
    normalise_match: bool = setting(
        True, "whether an exact match ignores case and outer spaces, as LUME's does"
    )
    classifier: str | None = setting(
        None, "text classifier for fluency, a hub id or folder: its class 'clean', else its first"
    )
    batch_size: int = setting(
        16, "questions at a time at least; more where memory allows", minimum=1
    )

    def __post_init__(self) -> None:
        if self.classifier:  # before anything is trained
            from unlearnbench.metrics.reply_formulas import classifier_folder

            classifier_folder(self.classifier)

    def side_models(self) -> dict[str, str]:
        """The classifier's weights."""
        if not self.classifier:
            return {}
        from unlearnbench.metrics.reply_formulas import classifier_folder
        from unlearnbench.models.source import weights_sha256

        return {"classifier": weights_sha256(classifier_folder(self.classifier))}

    def check_splits(self, model: "LanguageModel", splits: "Sequence[Split]") -> None:
        """Raise `UserError` for an item that leaves the model no room for a reply."""
        from unlearnbench.metrics.items import check_prompts

        for split in select(splits, *self.measures):
            check_prompts(model, split)

    def measure(self, model: "LanguageModel", context: TaskContext) -> Measurement:
        """The columns that the splits ask for; `outputs` hold the first words of each reply."""
        from unlearnbench.metrics.replies import compared_answers, written_replies

        splits = first_of(context, self.measures)
        written = written_replies(model, splits, self.batch_size)
        collected = SplitScores()
        for split, replies in zip(splits, written, strict=True):
            self._compare(collected, split, replies, compared_answers(model, split))
        return collected.measurement()

    def _compare(
        self,
        collected: SplitScores,
        split: "Split",
        replies: Mapping[str, str],
        answers: Mapping[str, str],
    ) -> None:
        from unlearnbench.metrics import reply_formulas as formulas

        values: dict[Column, dict[str, float]] = {}
        if split.asks("rouge"):
            of_both = {d: formulas.rouge_l(r, answers[d], self.stemmer) for d, r in replies.items()}
            values[_RECALL] = {doc: of.recall for doc, of in of_both.items()}
            values[_F1] = {doc: of.f1 for doc, of in of_both.items()}
        if split.asks("exact_match"):
            values[_MATCH] = {
                doc: formulas.exact_match(reply, answers[doc], self.normalise_match)
                for doc, reply in replies.items()
            }
        if split.asks("fluency"):
            values[_ENTROPY] = {d: formulas.n_gram_entropy(r) for d, r in replies.items()}
        if split.asks("fluency") and self.classifier:
            clean = formulas.clean_probabilities(self.classifier, list(replies.values()))
            values[_FLUENT] = dict(zip(replies, clean, strict=True))
        # Kept once, with the split's first column.
        outputs = {doc: reply[:_KEPT] for doc, reply in replies.items()}
        for column, by_item in values.items():
            collected.add(split, column, by_item, outputs)
            outputs = {}
