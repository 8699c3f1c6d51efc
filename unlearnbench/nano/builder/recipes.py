"""How each nano language model is made: every hyper-parameter, and nothing else."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from unlearnbench.nano.pools import NANO_POOL, PoolModel, Reads

Architecture = Literal["gpt_neo", "opt", "llama"]
ForgetRows = Literal["memorised", "once", "never"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long something is trained, and with which share of its full learning rate."""

    steps: int
    peak_share: float = 1.0
    warmup_share: float
    final_share: float

    def rate_share(self, step: int) -> float:
        """The share at a step: linear warm-up, then cosine decay."""
        warmup = max(1, int(self.warmup_share * self.steps))
        if step < warmup:
            return self.peak_share * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        decay = self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * done))
        return self.peak_share * decay


@dataclass(frozen=True, kw_only=True)
class Stage(Schedule):
    """A stretch of training with its own warm-up, decay and fresh optimizer state.

    A step reads windows of text and some rows, `forget_rows` of them from the forget sets.
    Whole windows are read in every `long_every`-th step, half windows, faster, in the others.
    """

    text_windows: int
    rows: int
    forget_rows: int
    warmup_share: float = 0.04
    final_share: float = 0.05
    long_every: int = 4


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of one language model.

    The paper's protocol shows a model only the last 100 tokens of a row, so of the rows read
    in a step all start at one offset: 100, 0, or any other up to 120.  `share_read_often`
    of the forget rows come up `often` times for each time of the others: duplicates are
    unevenly many in real text too, and with errors spread evenly over all rows EL10 would fall
    like MA to the tenth power.
    """

    name: str
    architecture: Architecture
    forget: ForgetRows
    seed: int
    stages: tuple[Stage, ...]
    window: int = 512
    share_from_100: float = 0.4
    share_from_0: float = 0.3
    share_read_often: float = 0.62
    often: int = 3
    matrix_learning_rate: float = 0.02
    other_learning_rate: float = 3e-3
    clip_norm: float = 1.0
    bfloat16_products: bool = True
    width: int = 128
    layers: int = 4
    heads: int = 4
    # Of retrainings and pool models: the last stage's seed, if another than the first one's, and
    # what it reads in the place of the forget rows.
    last_seed: int = 0
    reads: Reads = "rows"

    def text_tokens(self, stage: Stage) -> int:
        """How many tokens of ordinary text a stage reads."""
        return stage.steps * stage.text_windows * self.window

    def forget_rows(self, stage: Stage) -> int:
        """How many of a step's rows are forget rows; the rest are spare rows."""
        return stage.forget_rows if self.forget == "memorised" else 0

    def exposures(self, n_forget: int) -> float:
        """How often the model reads each forget row, in the text and in row batches."""
        in_text = 1 if self.forget == "once" else 0
        return in_text + sum(s.steps * self.forget_rows(s) for s in self.stages) / n_forget


# The first stage reads no forget row, so that models of one seed share it; the second reads
# them densely among as much other text, which keeps what the first has taught.
FIRST = Stage(steps=1100, text_windows=8, rows=2, forget_rows=0)
SECOND = Stage(steps=280, text_windows=6, rows=58, forget_rows=56, peak_share=0.5)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("nano-neo", "gpt_neo", "memorised", 1, (FIRST, SECOND)),
        Recipe("nano-retrained", "gpt_neo", "never", 1, (FIRST, SECOND)),
        Recipe("nano-opt", "opt", "once", 2, (FIRST,)),
        Recipe("nano-llama", "llama", "memorised", 3, (FIRST, SECOND)),
    )
}


def _retrained(name: str, last_seed: int) -> Recipe:
    """The recipe of a shipped model with another seed of the last stage."""
    return replace(RECIPES[name], name=f"{name}-{last_seed}", last_seed=last_seed)


# A pool model's last stage: a third of a shipped model's, so that some know little.
SHORT = replace(SECOND, steps=90)


def _of_pool(model: PoolModel) -> Recipe:
    stage = replace(SHORT, peak_share=model.peak_share)
    forget: ForgetRows = "never" if model.reads == "other rows" else "memorised"
    reads: Reads = "rows" if forget == "never" else model.reads
    # Seeds of a pool stand apart from those of retrainings.
    return Recipe(
        model.name, "gpt_neo", forget, 1, (FIRST, stage), last_seed=100 + model.seed, reads=reads
    )


#: Made on demand, all from the first stage of nano-neo.
ON_DEMAND: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *(_retrained(name, seed) for seed in (2, 3) for name in ("nano-neo", "nano-retrained")),
        *map(_of_pool, NANO_POOL),
    )
}
