"""Pruning: weights that carry the unlearning are removed, or simply the least important ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting

from ._citations import LUCKI

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.attacking.weights import LinearWeights
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


@register
@dataclass(kw_only=True)
class Prune(Attack):
    """Weights of linear layers set to 0: those that matter for the forget set and not for others.

    A method that puts a refusal on top of what a model knows leaves few weights to answer for it.
    """

    name = "prune"
    label = "Pruning"
    source = "Łucki et al. 2025 (2409.18025), after Wei et al. 2024 (2402.05162)"
    citation = LUCKI
    curve = "share of weights removed"

    how: Literal["set-difference", "wanda", "magnitude"] = setting(
        "set-difference",
        "set-difference: the top of the forget rows' scores without the top of the retain rows'; "
        "wanda, magnitude: the lowest scores on retain rows, or the smallest weights",
    )
    forget_top: tuple[float, ...] = setting(
        (0.05, 0.1),
        "set-difference: shares of a matrix that score highest on forget rows (p); released: nine "
        "from 0.005 to 0.2",
        minimum=0,
        maximum=1,
    )
    retain_top: tuple[float, ...] = setting(
        (0.05, 0.1),
        "set-difference: shares that score highest on retain rows and stay (q); released: the same "
        "nine; pairs with p over q are left out, as there",
        minimum=0,
        maximum=1,
    )
    shares: tuple[float, ...] = setting(
        (0.0, 0.1, 0.25, 0.5), "wanda, magnitude: shares removed", minimum=0, maximum=1
    )
    score: Literal["wanda", "snip"] = setting(
        "wanda",
        "set-difference: importance of a weight, |W| times the norm of its input, or |W| times the "
        "loss's gradient (snip, as the released script has it)",
    )
    rows: int = setting(
        128, "rows of the forget set and of the pool that scores are taken on", minimum=1
    )

    @property
    def n_points(self) -> int:
        """One for each pair of shares, or for each share."""
        return len(self._pairs) if self.how == "set-difference" else len(set(self.shares))

    @property
    def _pairs(self) -> list[tuple[float, float]]:
        """Shares p and q, of which p is not over q."""
        forget, retain = dict.fromkeys(self.forget_top), dict.fromkeys(self.retain_top)
        return [(p, q) for q in retain for p in forget if p <= q]

    def forward_tokens(self, n_rows: int, length: int) -> int:
        """Forget rows and as many of the pool as may be drawn."""
        if self.how == "magnitude":
            return 0
        forget = min(n_rows, self.rows) if self.how == "set-difference" else 0
        return (forget + self.rows) * length

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",
        run: str,
        splits: "Sequence[Split]",  # noqa: ARG002
    ) -> None:
        """Raises `UserError` for nothing to remove, and for no rows that are to be kept."""
        from unlearnbench.attacking.weights import check_linear_layers

        check_linear_layers(self.name, model)
        if self.how == "set-difference" and not self._pairs:
            raise UserError(
                "prune: every share in forget_top is over those in retain_top; e.g. --set "
                f"prune.retain_top={max(self.forget_top):g}"
            )
        if self.how != "magnitude" and not len(source.pool(run) or ()):
            raise UserError(
                f"prune.how={self.how} looks at rows to keep, and '{source.title(run)}' has none; "
                "give some: --pool FILE, or take --set prune.how=magnitude"
            )

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """The model without each choice of weights, from the unlearned ones each time."""
        from unlearnbench.attacking.weights import LinearWeights

        weights = LinearWeights.of(model)
        if self.how == "set-difference":
            yield from self._set_differences(model, weights, target)
        else:
            yield from self._lowest(model, weights, target)

    def _set_differences(
        self, model: "LanguageModel", weights: "LinearWeights", target: Target
    ) -> Iterator[Point]:
        from unlearnbench.attacking.pruning import set_difference

        forget = self._scores(model, weights, target, "forget")
        retain = self._scores(model, weights, target, "retain")
        for p, q in self._pairs:
            masks = {n: set_difference(forget[n], retain[n], p, q) for n in forget if n in retain}
            facts = _without(weights, masks)
            yield Point(f"p={p:g},q={q:g}", f"p {p:g}, q {q:g}", model, facts=facts)

    def _lowest(
        self, model: "LanguageModel", weights: "LinearWeights", target: Target
    ) -> Iterator[Point]:
        from unlearnbench.attacking.pruning import lowest, lowest_by_output

        if self.how == "wanda":
            choose, scores = lowest_by_output, self._scores(model, weights, target, "retain")
        else:
            choose = lowest
            scores = {name: matrix.abs().float() for name, matrix in weights.kept.items()}
        for share in dict.fromkeys(self.shares):
            facts = _without(weights, {n: choose(own, share) for n, own in scores.items()})
            label = f"{100 * share:g}% removed"
            yield Point(f"share={share:g}", label, model, position=share, facts=facts)

    def _scores(
        self,
        model: "LanguageModel",
        weights: "LinearWeights",
        target: Target,
        role: Literal["forget", "retain"],
    ) -> "dict[str, Tensor]":
        from unlearnbench.attacking.pruning import importance

        forget_set = target.forget_set
        rows = forget_set.rows if role == "forget" else forget_set.drawable_pool
        score = self.score if self.how == "set-difference" else "wanda"
        some, batch_size = self.drawn(rows, role), target.context.batch_size
        return importance(model, weights, some, score, batch_size)

    def drawn(self, rows: "Sequences", role: Literal["forget", "retain"]) -> "Sequences":
        """The rows that scores are taken on, in their order."""
        from unlearnbench.attacking.held_out import drawn

        return rows.select(sorted(drawn(len(rows), self.seed, f"prune {role}")[: self.rows]))


def _without(weights: "LinearWeights", masks: "Mapping[str, Tensor]") -> dict[str, float]:
    """Set the weights where a mask is true to 0, all others to what they were; the share of them.

    A layer without a mask is left as it was.
    """
    weights.restore()
    for name, mask in masks.items():
        weights.put(name, weights.kept[name].masked_fill(mask, 0))
    n_removed = sum(int(mask.sum()) for mask in masks.values())
    return {"removed_share": n_removed / weights.n_weights}
