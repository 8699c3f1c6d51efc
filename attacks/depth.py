"""UDS, the unlearning depth score: layers of the unlearned model patched into the original."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.results.score import Metric, Score
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.attacking.patching import SpanPatching
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel

UDS = Metric(
    "depth", "UDS", True, decimals=3, in_score=False, documents="rows", judges="forgetting"
)


@register
@dataclass(kw_only=True)
class Depth(Attack):
    """UDS: how deep in its layers a model has lost what it was to forget, 1 as if retrained.

    A layer's states of the retrained model, then of the unlearned one, are put into the original
    model where it is to say an answer; what the answer's log-probability drops by is compared.
    """

    name = "depth"
    label = "UDS"
    source = "gnueaj/unlearning-depth-score, 'Knowledge Recoverability via Activation Patching'"
    needs = ("original model", "retrained model")
    describes_model = True

    threshold: float = setting(
        0.05,
        "nats: layers count whose states of the retrained model cost an answer more than this",
        minimum=0,
    )
    batch_size: int = setting(8, "answers that are read at a time at most", minimum=1)

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",  # noqa: ARG002
        run: str,  # noqa: ARG002
        splits: "Sequence[Split]",
    ) -> None:
        """Raise `UserError` for a network without layers, or an item that does not fit it."""
        from unlearnbench.attacking.hidden_states import readable_layers
        from unlearnbench.attacking.spans import check_spans

        readable_layers(model)
        check_spans(model, splits)

    @property
    def n_points(self) -> int:
        """None that tasks measure: its one point has a score of its own."""
        return 0

    def forward_tokens(self, n_rows: int, length: int) -> int:
        """Of each answer: both sources, the original, and that with each layer of both."""
        from unlearnbench.attacking.hidden_states import MOST_LAYERS

        return n_rows * length * (3 + 2 * MOST_LAYERS)

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """One point, with the score of each answer that some layer knows."""
        from unlearnbench.attacking.patching import SpanPatching, check_same_shape
        from unlearnbench.attacking.spans import batches, forget_spans
        from unlearnbench.metrics.depth_formulas import depth_score

        if target.load_original is None or target.load_retrained is None:
            raise UserError(
                "depth: UDS is relative to a model retrained without the forget set, and there is "
                "none; name one: --retrained MODEL"
            )
        original, retrained = target.load_original(), target.load_retrained()
        check_same_shape(self.name, original, (retrained, model))
        rows = forget_spans(model, target)
        documents: dict[int, float] = {}
        lacks: list[list[float]] = []  # [answers][layers]
        for chosen, batch in batches(model, rows, self.batch_size):
            patching = SpanPatching(original, batch)
            of_batch = self._drops(patching, retrained)
            lacks += of_batch
            losses = self._drops(patching, model, of_batch)
            for row, lack, loss in zip(chosen, of_batch, losses, strict=True):
                if (score := depth_score(lack, loss, self.threshold)) is not None:
                    documents[row] = score
            model.meter.advance(len(lacks), len(rows))
        by_doc_id = {rows.doc_ids[row]: documents[row] for row in sorted(documents)}
        yield self._point(model, by_doc_id, lacks)

    def _drops(
        self,
        patching: "SpanPatching",
        source: "LanguageModel",
        lacks: Sequence[Sequence[float]] | None = None,
    ) -> list[list[float]]:
        """[answers][layers]; given `lacks`, 0 for layers that are no answer's knowledge layer."""
        from unlearnbench.metrics.depth_formulas import knowledge_layers

        states = patching.states_of(source)
        wanted = set(range(len(states)))
        if lacks is not None:
            wanted = {at for lack in lacks for at in knowledge_layers(lack, self.threshold)}
        nothing = [0.0] * len(patching.rows)
        by_layer = [
            patching.drops(states, layer) if layer in wanted else nothing
            for layer in range(len(states))
        ]
        return [list(of_answer) for of_answer in zip(*by_layer, strict=True)]

    def _point(
        self, model: "LanguageModel", documents: dict[str, float], lacks: list[list[float]]
    ) -> Point:
        from unlearnbench.metrics.task import Measurement

        facts = {
            "answers": float(len(lacks)),
            "share_with_knowledge_layers": len(documents) / max(len(lacks), 1),
        }
        for layer, of_layer in enumerate(zip(*lacks, strict=True)):
            facts[f"retrained_drop_layer_{layer}"] = fmean(of_layer)
        scores = {UDS.name: Score.of(documents, higher_is_better=True)} if documents else {}
        measured = Measurement(scores, metrics=(UDS,) if scores else ())
        return Point(self.name, self.label, model, measured=measured, facts=facts)
