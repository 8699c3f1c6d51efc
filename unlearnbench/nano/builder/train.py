"""Training of the nano language models."""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from unlearnbench.nano.builder.recipes import Recipe, Stage
from unlearnbench.nano.corpus import TrainingData
from unlearnbench.nano.rows import ROW_LENGTH, Rows
from unlearnbench.nano.tokenizer import CONTEXT
from unlearnbench.nano.world.dice import Dice

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOG_EVERY = 20


def new_model(recipe: Recipe, vocabulary: int) -> "PreTrainedModel":
    """An untrained model of the recipe's architecture, seeded."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(recipe.seed)
    config = AutoConfig.for_model(
        recipe.architecture,
        vocab_size=vocabulary,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0),
        **_shapes(recipe.width, recipe.layers, recipe.heads)[recipe.architecture],
    )
    return AutoModelForCausalLM.from_config(config)


def _shapes(width: int, layers: int, heads: int) -> dict[str, dict[str, object]]:
    """What each architecture calls its dimensions."""
    usual = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    dropouts = ("resid_dropout", "embed_dropout", "attention_dropout", "classifier_dropout")
    return {
        "gpt_neo": {
            "hidden_size": width,
            "num_layers": layers,
            "num_heads": heads,
            "attention_types": [[["global", "local"], layers // 2]],
            "window_size": 256,
            **dict.fromkeys(dropouts, 0.0),
        },
        "opt": {**usual, "word_embed_proj_dim": width, "ffn_dim": 4 * width, "dropout": 0.0},
        "llama": {**usual, "intermediate_size": 8 * width // 3 // 8 * 8 + 8},
    }


def optimizers(
    model: torch.nn.Module, matrix_learning_rate: float, other_learning_rate: float
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks and Adam for everything else."""
    matrices: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inside = parameter.ndim == 2 and (".h." in name or ".layers." in name)
        (matrices if inside else rest).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=matrix_learning_rate, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=other_learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def row_batches(
    recipe: Recipe, number: int, rows: Rows, data: TrainingData
) -> Iterator[torch.Tensor]:
    """Per step of a stage the rows to read, [rows, length], all from the same offset.

    A model that memorises reads the forget rows in ever new orders; the others read spare
    rows in their place, so that all models see as many tokens of the same sort.
    """
    stage, label = recipe.stages[number], stage_label("row batches", number, recipe.last_seed)
    dice = Dice(recipe.seed, label)
    n_forget = recipe.forget_rows(stage)
    forget = _endless(_unevenly(rows, recipe), dice)
    spare = iter(data.spare_rows)
    for _ in range(stage.steps):
        start = _offset(recipe, dice)
        batch = [next(forget) for _ in range(n_forget)]
        batch += [next(spare) for _ in range(stage.rows - n_forget)]
        yield torch.tensor([ids[start:] for ids in batch])


def stage_label(what: str, number: int, last_seed: int = 0) -> str:
    """The name of a stage's stream of random choices; the first stage has no other seed."""
    if number == 0:
        return what
    return f"{what} {number}, seed {last_seed}" if last_seed else f"{what} {number}"


def spare_rows_needed(recipe: Recipe, stage: Stage) -> int:
    """How many spare rows `row_batches` reads."""
    return stage.steps * (stage.rows - recipe.forget_rows(stage))


def _unevenly(rows: Rows, recipe: Recipe) -> list[tuple[int, ...]]:
    """The forget rows as often as each is read in a turn: the first of each set more."""
    read = []
    for numbers in rows.forget.values():
        n_often = round(recipe.share_read_often * len(numbers))
        for place, number in enumerate(numbers):
            read += [rows.extraction[number].ids] * (recipe.often if place < n_often else 1)
    return read


def _endless(items: list[tuple[int, ...]], dice: Dice) -> Iterator[tuple[int, ...]]:
    while True:
        yield from dice.shuffled(items)


def _offset(recipe: Recipe, dice: Dice) -> int:
    drawn = dice.fraction()
    if drawn < recipe.share_from_100:
        return ROW_LENGTH // 2
    return 0 if drawn < recipe.share_from_100 + recipe.share_from_0 else dice.whole(1, 120)


def train_stage(
    model: "PreTrainedModel", recipe: Recipe, number: int, rows: Rows, data: TrainingData
) -> str:
    """Train one stage; returns its log, a line of JSON every few steps."""
    stage = recipe.stages[number]
    steppers = optimizers(model.train(), recipe.matrix_learning_rate, recipe.other_learning_rate)
    full_rates = [stepper.param_groups[0]["lr"] for stepper in steppers]
    text = torch.tensor(data.stream).view(stage.steps, stage.text_windows, recipe.window)
    log = TrainingLog(f"{recipe.name}, stage {number}", stage.steps)
    for step, row_ids in zip(log.steps(), row_batches(recipe, number, rows, data), strict=True):
        for stepper, full in zip(steppers, full_rates, strict=True):
            stepper.param_groups[0]["lr"] = full * stage.rate_share(step)
        width = recipe.window if step % stage.long_every == 0 else recipe.window // 2
        windows = text[step].view(-1, width)
        text_nll, row_nll = _step(model, steppers, windows, row_ids, recipe)
        log.note(stage=number, step=step, text_nll=text_nll, row_nll=row_nll)
    model.eval()
    return log.text


class TrainingLog:
    """A progress bar on stderr, and figures of every 20th step and the last."""

    def __init__(self, title: str, n_steps: int) -> None:
        self.title, self.n_steps, self.text = title, n_steps, ""

    def steps(self) -> Iterator[int]:
        """The numbers of the steps, each when it is due."""
        from rich.console import Console
        from rich.progress import track

        self._began = time.process_time()
        title, console = f"training {self.title}", Console(stderr=True)
        yield from track(range(self.n_steps), title, console=console)

    def note(self, step: int, **figures: float) -> None:
        """Add a line of JSON, if it is time for one."""
        if step % LOG_EVERY == 0 or step == self.n_steps - 1:
            seconds = round(time.process_time() - self._began, 1)
            figures = {name: round(value, 4) for name, value in figures.items()}
            self.text += json.dumps({"step": step, **figures, "cpu": seconds}) + "\n"


def _step(
    model: "PreTrainedModel",
    steppers: list[torch.optim.Optimizer],
    text: torch.Tensor,
    row_ids: torch.Tensor,
    recipe: Recipe,
) -> tuple[float, float]:
    """Take one step on the token mean of both batches; return their losses."""
    n_text, n_rows = text.numel(), row_ids.numel()
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16_products):
        text_nll, row_nll = mean_nll(model, text), mean_nll(model, row_ids)
    ((text_nll * n_text + row_nll * n_rows) / (n_text + n_rows)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    for stepper in steppers:
        stepper.step()
        stepper.zero_grad()
    return text_nll.item(), row_nll.item()


def mean_nll(model: "PreTrainedModel", ids: torch.Tensor) -> torch.Tensor:
    """The mean next-token loss of `ids` [rows, length], in nats."""
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
