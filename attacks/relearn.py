"""Relearning: fine-tuning on rows of the forget set, or on harmless ones, and what comes back."""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.attacking.recipes import PUBLISHED, Recipe
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting

from ._citations import LUCKI

if TYPE_CHECKING:
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.metrics.task import TaskContext
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences

_HU = """@inproceedings{hu2025jogging,
  title = {Unlearning or Obfuscating? {J}ogging the Memory of Unlearned {LLM}s via Benign
           Relearning},
  author = {Hu, Shengyuan and Fu, Yiwei and Wu, Zhiwei Steven and Smith, Virginia},
  booktitle = {Proceedings of ICLR},
  year = {2025}
}"""


@dataclass(kw_only=True)
class FineTuning(Attack):
    """What every fine-tuning attack can be told; what is not told is as `like` or `usual` says."""

    usual: ClassVar[Recipe]  # without `like`
    always: ClassVar[Mapping[str, Any]] = {}  # of a recipe: what makes it this attack
    curve: ClassVar[str] = "optimisation steps"
    packages: ClassVar[tuple[str, ...]] = ("peft",)
    usual_rows: ClassVar[str] = "all rows"  # trained on, where neither settings nor recipe say it

    like: Literal["tofu-ou", "muse-books", "muse-news", "wmdp", "ethz", "deeb-roger"] | None = (
        setting(None, "published settings, for all that is none below; none: the attack's own")
    )
    rows: int | None = setting(
        None, "how many rows are trained on, drawn from all; 0: all of them", minimum=0
    )
    steps: tuple[int, ...] = setting(
        (), "optimisation steps after which is measured; 0: untouched", minimum=0
    )
    epochs: tuple[int, ...] = setting(
        (), "epochs after which is measured, in place of steps", minimum=0
    )
    learning_rate: float | None = setting(
        None,
        "AdamW's; none: 2e-5, and 1e-4 for networks under 10 million parameters; of adapters ten "
        "times as much",
        above=0,
    )
    batch_size: int | None = setting(None, "rows of one optimisation step", minimum=1)
    accumulation: int | None = setting(
        None, "parts that a batch goes through the network in: less memory", minimum=1
    )
    schedule: Literal["constant", "linear", "cosine"] | None = setting(
        None, "of the learning rate; one that falls has each number of steps trained on its own"
    )
    warmup: float | None = setting(
        None, "share of the steps over which the learning rate rises", minimum=0, maximum=1
    )
    weight_decay: float | None = setting(None, "AdamW's, of matrices alone", minimum=0)
    max_grad_norm: float | None = setting(
        None, "norm at which a step's gradient is clipped; 0: it is not", minimum=0
    )
    weights: Literal["all", "lora"] | None = setting(
        None, "what is trained: all weights, or low-rank adapters of all linear layers (peft)"
    )
    rank: int | None = setting(None, "of adapters; of rank 0 they are not trained", minimum=0)
    alpha: float | None = setting(None, "the adapters' product counts alpha / rank times", above=0)
    loss_span: Literal["suffix", "all"] | None = setting(
        None, "tokens of a row that the loss counts; none: those that unlearning counted"
    )

    def __init_subclass__(cls) -> None:
        """Put into the page about an attack what stands where a setting is none."""
        super().__init_subclass__()
        recipes: dict[str, Recipe] = {"none": cls.usual, **PUBLISHED}
        lines = [
            f"  {name:<10}  {one.changed(cls.always).in_words(cls.usual_rows)}"
            for name, one in recipes.items()
        ]
        about = "What a setting is where it is none, by `like`:"
        cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__ or ""), "", about, *lines])

    def __post_init__(self) -> None:
        """Raises `ValueError` for steps and epochs at once."""
        if self.steps and self.epochs:
            raise ValueError("give steps or epochs, not both")

    @property
    def recipe(self) -> Recipe:
        """What is told, over what `like` or the attack's own settings say."""
        named = PUBLISHED[self.like] if self.like else self.usual
        return named.changed(self.always).changed(asdict(self))

    @property
    def n_points(self) -> int:
        """One for each number of steps."""
        return self.recipe.n_points

    def forward_tokens(self, n_rows: int, length: int) -> int:
        """Those of the rows that are trained on."""
        return self.recipe.n_row_passes(self.most_rows(n_rows)) * length

    def most_rows(self, n_rows: int) -> int:
        """How many rows are trained on at most, of so many to forget."""
        return min(self.recipe.rows or n_rows, n_rows)

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",
        run: str,
        splits: "Sequence[Split]",  # noqa: ARG002
    ) -> None:
        """Adapters need peft, and linear layers to stand beside; rows must do for the attack."""
        n_pool = len(source.pool(run) or ())
        self.check_rows(len(source.targets(run)), n_pool, source.title(run))
        recipe = self.recipe
        if recipe.weights == "lora" and recipe.rank:
            from unlearnbench.models.adapter_folder import need_peft
            from unlearnbench.unlearning.adapters import adapted_layers

            need_peft(f"--set {self.name}.weights=lora")
            if not adapted_layers(model.network):
                raise UserError(
                    f"{self.name}: {type(model.network).__name__} has no linear layer for an "
                    f"adapter; train all weights: --set {self.name}.weights=all"
                )

    def check_rows(self, n_rows: int, n_pool: int, title: str) -> None:
        """Raise `UserError` where so many rows to forget and to keep do not do."""

    def trained_rows(self, model: "LanguageModel", target: Target) -> "Sequences":
        """The rows that are trained on."""
        raise NotImplementedError

    def context(self, model: "LanguageModel", target: Target) -> "TaskContext":  # noqa: ARG002
        """What tasks measure with."""
        return target.context

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """The model after each number of steps, changed in place."""
        given = target.forget_set
        self.check_rows(len(given.rows), len(given.pool), given.name)
        from unlearnbench.attacking.relearning import fine_tuned

        recipe, rows = self.recipe, self.trained_rows(model, target)
        context, span = self.context(model, target), target.forget_set.protocol.loss_span
        facts = {
            "learning_rate": recipe.rate(model.n_parameters),
            "rows": len(rows),
            "rows_scored": len(context.forget_set.rows),
        }
        states = fine_tuned(model, rows, recipe, self.loss_span or span, self.seed, self.name)
        for stop, state in zip(recipe.stops(len(rows)), states, strict=True):
            loss = {} if state.loss is None else {"loss": state.loss}
            yield Point(
                stop.name,
                stop.label,
                model,
                position=stop.n_steps,
                context=context,
                facts={**facts, "tokens": state.n_tokens, **loss},
            )


@register
@dataclass(kw_only=True)
class Relearn(FineTuning):
    """Fine-tuning on some rows of the forget set; all of them are scored.

    The retrained model, given the same rows in the same order, says how much of what comes back
    was taught anew.  With `held_out` only rows that were not trained on are scored.
    """

    name = "relearn"
    label = "Relearning"
    source = "Hu et al. 2025 (2406.13356); published settings by `like`: docs/attacks.md"
    citation = _HU
    usual = Recipe(rows=16, steps=(0, 5, 10, 20, 40))

    held_out: float | None = setting(
        None,
        "share of the forget set that is not trained on, and scored alone; 0: all is scored",
        minimum=0,
        maximum=1,
    )

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",
        run: str,
        splits: "Sequence[Split]",
    ) -> None:
        """Also warns of splits that nobody could divide as the rows are divided."""
        super().check(model, source, run, splits)
        to_forget = [split for split in splits if split.is_to_forget]
        if self.recipe.held_out and to_forget:
            from unlearnbench.attacking.held_out import holds_rows
            from unlearnbench.protocol import PAPER

            rows = source.targets(run).encode(model, PAPER)
            for split in to_forget:
                if not holds_rows(model, rows, split):
                    warnings.warn(
                        f"under {self.name} the split '{split.name}' of {source.title(run)} is not "
                        "measured: its items are no rows of the forget set, so nobody could say "
                        "which of them were held out",
                        stacklevel=2,
                    )

    @property
    def teaches_rows(self) -> bool:
        """Unless only rows that are held out are measured."""
        return not self.recipe.held_out

    def trained_rows(self, model: "LanguageModel", target: Target) -> "Sequences":  # noqa: ARG002
        """Of the forget set, those that are not held out."""
        rows, recipe = target.forget_set.rows, self.recipe
        taught, _ = self._divided(target)
        return rows.select(taught[: recipe.rows or None])

    def context(self, model: "LanguageModel", target: Target) -> "TaskContext":
        """That of the rows held out, if any are."""
        from unlearnbench.attacking.held_out import held_out_context

        _, held_out = self._divided(target)
        return held_out_context(model, target.context, held_out) if held_out else target.context

    def _divided(self, target: Target) -> tuple[list[int], list[int]]:
        from unlearnbench.attacking.held_out import divided, n_beside

        n_rows, share = len(target.forget_set.rows), self.recipe.held_out
        return divided(n_rows, n_beside(n_rows, share) if share else n_rows, self.seed)

    def check_rows(self, n_rows: int, n_pool: int, title: str) -> None:  # noqa: ARG002
        """Raise `UserError` for one row, which cannot be divided."""
        if self.recipe.held_out and n_rows < 2:
            raise UserError(
                f"{self.name}: forget set '{title}' has one row, so none is left to be held out; "
                "train on it and score it: --attacks relearn, or give more rows: --limit 2"
            )


@register
@dataclass(kw_only=True)
class RelearnSplit(Relearn):
    """Fine-tuning on one half of the forget set; the other half is scored.

    What comes back of rows that nobody taught again was never removed.  Rows should not tell of one
    another: of one text's chunks, or of one author's questions, some stand on either side.
    """

    name = "relearn-split"
    label = "Relearning, T/V split"
    source = "Deeb and Roger 2024 (2410.08827)"
    citation = """@article{deeb2024unlearning,
  title = {Do Unlearning Methods Remove Information from Language Model Weights?},
  author = {Deeb, Aghyad and Roger, Fabien},
  journal = {arXiv:2410.08827},
  year = {2024}
}"""
    usual = Recipe(steps=(0, 20))
    always: ClassVar[Mapping[str, Any]] = {"held_out": 0.5}


@dataclass(kw_only=True)
class HarmlessTuning(FineTuning):
    """What is trained on is not to be forgotten; the forget set is scored."""

    usual: ClassVar[Recipe] = Recipe(steps=(20,))
    usual_rows: ClassVar[str] = "as many rows as are to be forgotten"
    always: ClassVar[Mapping[str, Any]] = {"held_out": 0.0}

    rows: int | None = setting(
        None,
        "how many rows are trained on, drawn from all; none: as many as are to be forgotten, or as "
        "`like` says; 0: all of them",
        minimum=0,
    )

    def most_rows(self, n_rows: int) -> int:
        """How many are trained on at most; of all that there are it knows no more than a batch."""
        recipe = self.recipe
        return recipe.rows or (n_rows if recipe.rows is None else max(n_rows, recipe.batch_size))

    def n_wanted(self, target: Target) -> int | None:
        """How many rows are drawn; None: all that there are."""
        n_rows = self.recipe.rows
        return len(target.forget_set.rows) if n_rows is None else n_rows or None


@register
@dataclass(kw_only=True)
class RelearnBenign(HarmlessTuning):
    """Fine-tuning on rows of the pool, which may stay known; the forget set is scored."""

    name = "relearn-benign"
    label = "Fine-tuning on retain rows"
    source = "Hu et al. 2025 (2406.13356)"
    citation = _HU
    needs = ("retain items",)

    def trained_rows(self, model: "LanguageModel", target: Target) -> "Sequences":  # noqa: ARG002
        """Rows of the pool, by default as many as are to be forgotten."""
        from unlearnbench.attacking.held_out import drawn

        pool = target.forget_set.pool
        order = drawn(len(pool), self.seed, "rows to keep")
        return pool.select(order[: self.n_wanted(target)])

    def check_rows(self, n_rows: int, n_pool: int, title: str) -> None:  # noqa: ARG002
        """Raise `UserError` for a forget set without a pool."""
        if not n_pool:
            raise UserError(
                f"{self.name}: forget set '{title}' has no pool of rows to keep; give one: --pool "
                "FILE, or fine-tune on a validation text: --attacks relearn-text"
            )


@register
@dataclass(kw_only=True)
class RelearnText(HarmlessTuning):
    """Fine-tuning on a validation text; the forget set, which it does not hold, is scored."""

    name = "relearn-text"
    label = "Fine-tuning on text"
    source = "Hu et al. 2025 (2406.13356); Łucki et al. 2025 (2409.18025), on wikitext"
    citation = _HU
    needs = ("texts",)

    text: str = setting("wikitext", "which validation text; rows are its windows")

    def trained_rows(self, model: "LanguageModel", target: Target) -> "Sequences":
        """Windows as long as a row, by default as many as there are rows to forget."""
        from unlearnbench.attacking.relearning import text_rows

        texts, forgotten = target.context.texts, target.forget_set.rows
        if self.text not in texts:
            there = f"there are: {', '.join(texts)}" if texts else "there is none"
            raise UserError(
                f"{self.name}: no validation text '{self.text}' ({there}); give it: "
                f"--text {self.text}=FILE, or name another: --set {self.name}.text=NAME"
            )
        length = int(forgotten.lengths.max())
        rows = text_rows(model, texts[self.text], length, self.n_wanted(target), self.seed)
        if not len(rows):
            raise UserError(
                f"{self.name}: the text '{self.text}' has not two tokens in a row; give another: "
                f"--text {self.text}=FILE"
            )
        return rows


@register
@dataclass(kw_only=True)
class RelearnLora(Relearn):
    """Fine-tuning of low-rank adapters on a few rows of the forget set; all of it is scored."""

    name = "relearn-lora"
    label = "Relearning by LoRA"
    source = "Łucki et al. 2025 (2409.18025)"
    citation = LUCKI
    usual = Recipe(rows=8, steps=(20,), batch_size=4)
    always: ClassVar[Mapping[str, Any]] = {"weights": "lora"}
