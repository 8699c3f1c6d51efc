"""How a relearning attack trains: what can be set, and the settings that others published."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import ceil
from typing import Any, Literal

from unlearnbench.models.devices.schedule import LrSchedule, RunLength

Weights = Literal["all", "lora"]
SMALL = 10**7  # parameters, under which forty steps at the rate of large networks are few


@dataclass(frozen=True)
class Stop:
    """A state of the training that is measured."""

    name: str
    label: str
    n_steps: int


@dataclass(frozen=True)
class Recipe:
    """AdamW on the labelled tokens of rows, mean over a batch's tokens, without dropout.

    The defaults are what the published settings have in common.
    """

    rows: int | None = None  # that are trained on; 0: all that there are; None: the attack's own
    steps: tuple[int, ...] = ()  # after which is measured; empty: `epochs` counts
    epochs: tuple[int, ...] = ()
    learning_rate: float | None = None  # None: `usual_rate`
    batch_size: int = 8  # rows of an optimisation step
    accumulation: int = 1  # parts that a batch goes through the network in
    schedule: LrSchedule = "constant"
    warmup: float = 0.0  # share of the steps
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0  # 0: nothing is clipped
    weights: Weights = "all"
    rank: int = 16  # of adapters
    alpha: float = 16.0
    held_out: float = 0.0  # share of the forget set that is not trained on, and scored alone

    def changed(self, given: Mapping[str, Any]) -> "Recipe":
        """With what somebody gave: neither None nor an empty list stands for anything given.

        Steps take the place of epochs, and epochs that of steps.
        """
        known = {field.name for field in fields(self)}
        named = {n: v for n, v in given.items() if n in known and v is not None and v != ()}
        instead = {"steps": "epochs", "epochs": "steps"}
        cleared = {instead[name]: () for name in named if name in instead}
        return replace(self, **{**cleared, **named})

    @property
    def n_points(self) -> int:
        """How many states are measured."""
        return len({*self.steps}) or len({*self.epochs})

    def stops(self, n_rows: int) -> list[Stop]:
        """What is measured of a training on so many rows, in order."""
        if self.steps:
            return [Stop(f"steps={n}", _counted(n, "step"), n) for n in sorted({*self.steps})]
        an_epoch = ceil(n_rows / self.batch_size)
        return [
            Stop(f"epochs={n}", _counted(n, "epoch"), n * an_epoch) for n in sorted({*self.epochs})
        ]

    @property
    def is_path(self) -> bool:
        """Whether a shorter training is the beginning of a longer one: the rate is constant."""
        return self.schedule == "constant" and not self.warmup

    @property
    def trains_nothing(self) -> bool:
        """Whether there are adapters without a number in them."""
        return self.weights == "lora" and self.rank == 0

    def length(self, n_steps: int) -> RunLength:
        """A training of so many steps, as its schedule must know it."""
        return RunLength(n_steps, ceil(self.warmup * n_steps))

    def rate(self, n_parameters: int) -> float:
        """The learning rate for a network of that size."""
        if self.learning_rate is not None:
            return self.learning_rate
        return usual_rate(n_parameters, self.weights)

    def in_words(self, rows: str) -> str:
        """As a page about it says; `rows` is what is trained on where nothing is told."""
        when, counted = ("steps", self.steps) if self.steps else ("epochs", self.epochs)
        rate = f" of {self.learning_rate:g}" if self.learning_rate is not None else ""
        parts = f" in {self.accumulation} parts" if self.accumulation > 1 else ""
        held_out = f"{self.held_out:g} of the rows held out; " if self.held_out else ""
        warmup = f", {self.warmup:.0%} warm-up" if self.warmup else ""
        decay = f", weight decay {self.weight_decay:g}" if self.weight_decay else ""
        told = f"{self.rows} rows" if self.rows else rows
        is_lora = self.weights == "lora"
        lora = f"; LoRA of rank {self.rank}, alpha {self.alpha:g}" if is_lora else ""
        return (
            f"{held_out}{told}, batches of {self.batch_size}{parts}; "
            f"{self.schedule} rate{rate}{warmup}{decay}{lora}; "
            f"measured after {when} {', '.join(map(str, counted))}"
        )

    def n_row_passes(self, n_rows: int) -> int:
        """Rows that go through the network in training at most, where so many are trained on."""
        if self.trains_nothing:
            return 0
        ends = [stop.n_steps for stop in self.stops(n_rows)]
        in_all = max(ends, default=0) if self.is_path else sum(ends)
        return in_all * min(self.batch_size, n_rows)


def usual_rate(n_parameters: int, weights: Weights) -> float:
    """2e-5, as TOFU models are relearned; 1e-4 for networks under ten million parameters.

    Tried on nano-neo (1.2 million), forty steps on 16 of 32 rows: at 2e-5 ICU's MA goes from .43 to
    .72, at 1e-4 to .96, and the model before unlearning keeps .98; at 1e-3 that one falls to .82.
    Adapters take ten times as much (ETH: 2e-4).
    """
    whole = 1e-4 if n_parameters < SMALL else 2e-5
    return whole if weights == "all" else 10 * whole


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


# What published code leaves to its trainer is what transformers' one does: a linear schedule,
# gradients clipped at 1.
PUBLISHED: dict[str, Recipe] = {
    # Open-Unlearning's meta-evaluation, as UDS restates it: 8 rows times 4.
    "tofu-ou": Recipe(
        epochs=(0, 1), learning_rate=2e-5, batch_size=32, accumulation=4, schedule="linear"
    ),
    # Fan et al. 2025 on MUSE: one training for each number of steps.
    "muse-books": Recipe(
        steps=(0, 50, 75, 100), learning_rate=1e-5, batch_size=4, schedule="cosine"
    ),
    "muse-news": Recipe(
        steps=(0, 100, 125, 150), learning_rate=1e-5, batch_size=4, schedule="cosine"
    ),
    # The same on WMDP: 20 to 100 rows, 1 to 3 epochs, one row times 4.
    "wmdp": Recipe(
        rows=60,
        epochs=(0, 1, 2, 3),
        learning_rate=1e-5,
        batch_size=4,
        accumulation=4,
        schedule="linear",
    ),
    # Lucki et al. 2024: 5 to 1,000 rows.
    "ethz": Recipe(
        rows=10,
        epochs=(0, 3),
        learning_rate=2e-4,
        batch_size=1,
        schedule="linear",
        warmup=0.05,
        weight_decay=0.01,
        weights="lora",
        rank=128,
        alpha=16.0,
    ),
    # Deeb and Roger 2024; batch and schedule are ours.
    "deeb-roger": Recipe(epochs=(0, 10, 30, 100), learning_rate=1e-5, batch_size=4, held_out=0.5),
}
