"""Soft prompt: free embeddings in front of what is asked, trained to bring it out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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


@register
@dataclass(kw_only=True)
class SoftPrompt(Attack):
    """Free embeddings in front of every row, trained to make the model say rows to forget.

    No weight is changed.  Enough free numbers can hold an answer themselves, so the prompt is
    trained on half of what is to be forgotten and scored by the other half.
    """

    name = "soft-prompt"
    label = "Soft prompt"
    source = "Schwinn et al. 2024 (2402.09063); settings: Liu et al. 2024 (WPU, 2407.16997)"
    curve = "epochs of training"

    tokens: int = setting(20, "free embeddings", minimum=1)
    epochs: tuple[int, ...] = setting(
        (0, 5, 20),
        "epochs of training after which is measured; 0: words drawn at random",
        minimum=0,
    )
    rows: int | None = setting(
        None,
        "rows to train on, drawn by the seed; none: half of them, or all with scored=all",
        minimum=1,
    )
    scored: Literal["held-out", "all"] = setting(
        "held-out", "score what was not trained on, or all there is"
    )
    learning_rate: float = setting(0.01, "Adam's step size", above=0)
    weight_decay: float = setting(0.01, "Adam's L2 penalty on the embeddings", minimum=0)
    batch_size: int = setting(8, "rows a step", minimum=1)

    @property
    def n_points(self) -> int:
        """One for each number of epochs."""
        return len(set(self.epochs))

    def forward_tokens(self, n_rows: int, length: int) -> int:
        """Each row that is trained on once an epoch, behind the prompt."""
        return max(self.epochs) * self._n_trained(n_rows) * (self.tokens + length)

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",
        run: str,
        splits: "Sequence[Split]",
    ) -> None:
        """Raise `UserError` where nothing is left to score, or nothing fits behind the prompt."""
        from unlearnbench.attacking.contexts import NEW_TOKENS
        from unlearnbench.protocol import Protocol

        rows = source.targets(run)
        self._check_rows(len(rows), source.title(run))
        # Whoever reads them says what is wrong with those that do not fit by themselves.
        read = rows.encode(model, Protocol(), only_fitting=True)
        self._check_fits_rows(model, read, NEW_TOKENS)
        asked = [split for split in splits if split.role in ("forget", "holdout")]
        self._check_fits(model, asked)

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """The model behind the prompt after each number of epochs.

        Raises `UserError` where nothing is left to score, or nothing fits behind the prompt.
        """
        from unlearnbench.attacking import held_out, soft_embeddings
        from unlearnbench.attacking.contexts import asked_with, new_tokens_of, with_context

        rows, protocol = target.forget_set.rows, target.forget_set.protocol
        self._check_rows(len(rows), target.forget_set.name)
        self._check_fits_rows(model, rows, new_tokens_of(target.context))
        self._check_fits(model, target.context.splits)
        trained, others = held_out.divided(len(rows), self._n_trained(len(rows)), self.seed)
        scored = others if self.scored == "held-out" else range(len(rows))
        with soft_embeddings.soft_tokens(model, self.tokens, self.seed) as embedding:
            shown = with_context(rows, embedding.ids)
            splits = self._scored(model, target, rows.select(trained), embedding.ids)
            context = replace(
                asked_with(target.context, shown.select(scored), splits),
                load_retrained=None,  # beside the model: it reads no such tokens
            )
            losses = soft_embeddings.train_soft_tokens(
                model,
                embedding,
                shown.select(trained),
                protocol,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                batch_size=self.batch_size,
                seed=self.seed,
            )
            facts = {"rows_trained_on": float(len(trained)), "rows_scored": float(len(scored))}
            done = 0
            for epochs in sorted(set(self.epochs)):
                while done < epochs:
                    facts["train_nll"], done = next(losses), done + 1
                unit = "epoch" if epochs == 1 else "epochs"
                yield Point(
                    f"epochs={epochs}",
                    f"{epochs} {unit}",
                    model,
                    position=float(epochs),
                    context=context,
                    facts=dict(facts),
                )

    def _n_trained(self, n_rows: int) -> int:
        if self.rows is not None:
            return min(self.rows, n_rows)
        return n_rows // 2 if self.scored == "held-out" else n_rows

    def _check_rows(self, n_rows: int, title: str) -> None:
        """Raise `UserError` where no row is left to train on, or to score."""
        n_trained = self._n_trained(n_rows)
        if n_trained < 1 or (self.scored == "held-out" and n_trained == n_rows):
            raise UserError(
                f"soft-prompt trains on some rows and is scored by others, and {title} has "
                f"{n_rows} of them, of which it would train on {n_trained}; give more rows or a "
                "lower soft-prompt.rows, or score all: --set soft-prompt.scored=all"
            )

    def _check_fits_rows(self, model: "LanguageModel", rows: "Sequences", new_tokens: int) -> None:
        from unlearnbench.attacking.contexts import room_for_rows

        if self.tokens > room_for_rows(model, rows, new_tokens):
            raise self._too_many(model, "the rows")

    def _check_fits(self, model: "LanguageModel", splits: "Sequence[Split]") -> None:
        """Raise `UserError` for items that leave no room for the prompt, or have no template."""
        from unlearnbench.attacking.contexts import ItemRoom, behind
        from unlearnbench.attacking.prompt_forms import is_asked_by_template

        for split in splits:
            longer = ItemRoom.of(model, behind(split, range(self.tokens)))
            if not longer.holds_as(ItemRoom.of(model, split)):
                raise self._too_many(model, f"the items of split '{split.name}'")
        if splits and not any(map(is_asked_by_template, splits)):
            raise UserError(
                "soft-prompt: all that is asked here are questions of lm-eval's tasks, which no "
                "embedding can stand in front of; take another attack: --attacks relearn"
            )

    def _scored(
        self,
        model: "LanguageModel",
        target: Target,
        trained: "Sequences",
        ids: Sequence[int],
    ) -> "list[Split]":
        """The splits behind the prompt; of those to forget what was not trained on.

        Raises `UserError` where nothing is left of them.
        """
        from unlearnbench.attacking.contexts import behind
        from unlearnbench.attacking.held_out import Taught, held_out
        from unlearnbench.attacking.prompt_forms import is_asked_by_template

        taught = Taught.of(model, trained) if self.scored == "held-out" else None
        kept = [
            behind(held_out(split, taught) if taught and split.is_to_forget else split, ids)
            for split in target.context.splits
            if is_asked_by_template(split)
        ]
        if kept and not any(split.items for split in kept if split.is_to_forget):
            raise UserError(
                f"soft-prompt: all items of {target.forget_set.name} say what the prompt was "
                "trained on; train on fewer rows (--set soft-prompt.rows=4), or score all: --set "
                "soft-prompt.scored=all"
            )
        return [split for split in kept if split.items]

    def _too_many(self, model: "LanguageModel", what: str) -> UserError:
        return UserError(
            f"soft-prompt: {self.tokens} tokens in front of {what} do not fit the "
            f"{model.max_length} that {model.source.name} reads; take fewer: --set "
            "soft-prompt.tokens=4"
        )
