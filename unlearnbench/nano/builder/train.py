"""Training of the nano language models."""

import json
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

import torch
import torch.nn.functional as F

from unlearnbench.nano.builder.recipes import Recipe, Stage
from unlearnbench.nano.corpus import TrainingData
from unlearnbench.nano.rows import ROW_LENGTH, Rows
from unlearnbench.nano.tokenizer import CONTEXT
from unlearnbench.nano.world.dice import Dice

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Report = Callable[[int, int], None]
LOG_EVERY = 20


def new_model(recipe: Recipe, vocabulary: int) -> "PreTrainedModel":
    """An untrained model of the recipe's architecture, seeded."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(recipe.seed)
    shape = ARCHITECTURES[recipe.architecture](recipe)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    config = AutoConfig.for_model(
        recipe.architecture,
        vocab_size=vocabulary,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        **ends,
        **shape,
    )
    return AutoModelForCausalLM.from_config(config)


def _neo_shape(recipe: Recipe) -> dict[str, object]:
    return {
        "hidden_size": recipe.width,
        "num_layers": recipe.layers,
        "num_heads": recipe.heads,
        "attention_types": [[["global", "local"], recipe.layers // 2]],
        "window_size": 256,
        "resid_dropout": 0.0,
        "embed_dropout": 0.0,
        "attention_dropout": 0.0,
        "classifier_dropout": 0.0,
    }


def _opt_shape(recipe: Recipe) -> dict[str, object]:
    return {
        "hidden_size": recipe.width,
        "word_embed_proj_dim": recipe.width,
        "ffn_dim": 4 * recipe.width,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "dropout": 0.0,
    }


def _llama_shape(recipe: Recipe) -> dict[str, object]:
    return {
        "hidden_size": recipe.width,
        "intermediate_size": 8 * recipe.width // 3 // 8 * 8 + 8,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
    }


ARCHITECTURES: dict[str, Callable[[Recipe], dict[str, object]]] = {
    "gpt_neo": _neo_shape,
    "opt": _opt_shape,
    "llama": _llama_shape,
}


def optimizers(model: torch.nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks and Adam for everything else."""
    matrices: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inside = parameter.ndim == 2 and (".h." in name or ".layers." in name)
        (matrices if inside else rest).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=recipe.matrix_learning_rate, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=recipe.other_learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_share(step: int, stage: Stage) -> float:
    """The share of the full learning rate at a step: linear warm-up, then cosine decay."""
    warmup = max(1, int(stage.warmup_share * stage.steps))
    if step < warmup:
        return stage.peak_share * (step + 1) / warmup
    done = (step - warmup) / max(1, stage.steps - warmup)
    decay = stage.final_share + (1 - stage.final_share) * 0.5 * (1 + math.cos(math.pi * done))
    return stage.peak_share * decay


def row_batches(
    recipe: Recipe, number: int, rows: Rows, data: TrainingData
) -> Iterator[torch.Tensor]:
    """Per step of a stage the rows to read, [rows, length], all from the same offset.

    A model that memorises reads the forget rows in ever new orders; the others read spare
    rows in their place, so that all models see as many tokens of the same sort.
    """
    stage, dice = recipe.stages[number], Dice(recipe.seed, stage_label("row batches", number))
    n_forget = recipe.forget_rows(stage)
    forget = _endless(_unevenly(rows, recipe), dice)
    spare = iter(data.spare_rows)
    for _ in range(stage.steps):
        start = _offset(recipe, dice)
        batch = [next(forget) for _ in range(n_forget)]
        batch += [next(spare) for _ in range(stage.rows - n_forget)]
        yield torch.tensor([ids[start:] for ids in batch])


def stage_label(what: str, number: int) -> str:
    """The name of a stage's stream of random choices."""
    return what if number == 0 else f"{what} {number}"


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
    model: "PreTrainedModel",
    recipe: Recipe,
    number: int,
    rows: Rows,
    data: TrainingData,
    log: TextIO,
    report: Report,
) -> None:
    """Train one stage; writes a line of JSON to `log` every few steps."""
    stage, steppers = recipe.stages[number], optimizers(model.train(), recipe)
    full_rates = [stepper.param_groups[0]["lr"] for stepper in steppers]
    text = torch.tensor(data.stream).view(stage.steps, stage.text_windows, recipe.window)
    began = time.process_time()
    for step, row_ids in enumerate(row_batches(recipe, number, rows, data)):
        for stepper, full in zip(steppers, full_rates, strict=True):
            stepper.param_groups[0]["lr"] = full * rate_share(step, stage)
        windows = text[step] if step % stage.long_every == 0 else _halves(text[step])
        losses = _step(model, steppers, windows, row_ids, recipe)
        if step % LOG_EVERY == 0 or step == stage.steps - 1:
            seconds = round(time.process_time() - began, 1)
            _log(log, stage=number, step=step, text_nll=losses[0], row_nll=losses[1], cpu=seconds)
        report(step + 1, stage.steps)
    model.eval()


def _log(log: TextIO, **figures: float) -> None:
    log.write(json.dumps({name: round(value, 4) for name, value in figures.items()}) + "\n")
    log.flush()


def _halves(windows: torch.Tensor) -> torch.Tensor:
    return windows.view(2 * windows.shape[0], -1)


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
        text_nll, row_nll = _mean_nll(model, text), _mean_nll(model, row_ids)
    ((text_nll * n_text + row_nll * n_rows) / (n_text + n_rows)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    for stepper in steppers:
        stepper.step()
        stepper.zero_grad()
    return text_nll.item(), row_nll.item()


def _mean_nll(model: "PreTrainedModel", ids: torch.Tensor) -> torch.Tensor:
    """The mean next-token loss of `ids` [rows, length], in nats."""
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
