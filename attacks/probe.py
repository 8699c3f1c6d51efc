"""Linear probe: a head of its own, trained on each layer's states."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences

_NO_POOL = (
    "probe: there are no rows to keep, to train on; give some: --pool FILE, or train on half of "
    "the rows to forget: --set probe.train_on=half"
)
_ONE_ROW = "probe: half of one row is none; give more rows to forget, or take --limit 2"


@register
@dataclass(kw_only=True)
class Probe(Attack):
    """Trains a linear head on each layer, and reads what was to be forgotten off with it.

    The layers below are frozen.  The head starts as the model's own behind its own norm, so that
    without training it is the logit lens, and learns to predict the next token of other texts.
    """

    name = "probe"
    label = "Linear probe"
    source = "Alain & Bengio 2016 (1610.01644); OpenUnlearning, ProbedLlamaForCausalLM"
    citation = """@article{alain2016understanding,
  title = {Understanding Intermediate Layers Using Linear Classifier Probes},
  author = {Alain, Guillaume and Bengio, Yoshua},
  journal = {arXiv preprint arXiv:1610.01644},
  year = {2016}
}"""
    needs = ("retain items",)
    curve = "layer"

    train_on: Literal["retain", "half"] = setting(
        "retain",
        "what the head learns from: rows to keep, or a half of those to forget, drawn by the seed "
        "(the other half is scored)",
    )
    n_rows: int = setting(
        64, "rows to keep that it learns from at most, drawn by the seed", minimum=1
    )
    epochs: int = setting(3, "times that each token is learnt from; 0: the logit lens", minimum=0)
    learning_rate: float = setting(1e-3, "of Adam", above=0)
    batch_size: int = setting(8, "rows that are read at a time at most", minimum=1)

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",
        run: str,
        splits: "Sequence[Split]",
    ) -> None:
        """Raise `UserError` for nothing to learn from, or a network or item that does not fit."""
        from unlearnbench.attacking.hidden_states import readable_layers
        from unlearnbench.attacking.spans import check_spans, spanned_splits

        readable_layers(model)
        check_spans(model, splits)
        n_asked = sum(map(len, spanned_splits(splits)))
        if self.train_on == "half" and (n_asked or len(source.targets(run))) < 2:
            raise UserError(_ONE_ROW)
        if self.train_on == "retain" and not len(source.pool(run) or ()):
            raise UserError(_NO_POOL)

    @property
    def n_points(self) -> int:
        """None that tasks measure: each has scores of its own."""
        return 0

    def forward_tokens(self, n_rows: int, length: int) -> int:
        """A pass for each layer over both kinds of rows."""
        from unlearnbench.attacking.hidden_states import MOST_LAYERS

        others = self.n_rows if self.train_on == "retain" else 0
        return MOST_LAYERS * (n_rows + others) * length

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """One point a layer, the first layer's first."""
        from unlearnbench.attacking.hidden_states import check_readable, readable_layers
        from unlearnbench.attacking.layer_points import point_of
        from unlearnbench.attacking.probing import examples, head_like, read_off, train
        from unlearnbench.unlearning.steps import seeded_generator

        check_readable(model)
        known, scored = self._rows(model, target)
        n_layers = len(readable_layers(model))
        for layer in range(n_layers):
            head, facts = head_like(model), {}
            if self.epochs:
                inputs, labels = examples(model, known, layer, self.batch_size)
                order = seeded_generator(self.seed, "probe: order")
                loss = train(head, inputs, labels, self.epochs, self.learning_rate, order)
                facts["training_nll"] = loss
            read = read_off(model, head, scored, layer, self.batch_size)
            yield point_of(layer, model, read, facts)
            model.meter.advance(layer + 1, n_layers)

    def _rows(self, model: "LanguageModel", target: Target) -> "tuple[Sequences, Sequences]":
        """Rows to learn from, and rows whose suffixes are scored; the same for every model."""
        from unlearnbench.attacking.held_out import divided, drawn
        from unlearnbench.attacking.spans import forget_spans

        rows = forget_spans(model, target)
        if self.train_on == "half":
            if len(rows) < 2:
                raise UserError(_ONE_ROW)
            taught, others = divided(len(rows), len(rows) // 2, self.seed)
            return rows.select(taught), rows.select(others)
        pool = target.forget_set.pool
        if not len(pool):
            raise UserError(_NO_POOL)
        return pool.select(drawn(len(pool), self.seed, "rows to keep")[: self.n_rows]), rows
