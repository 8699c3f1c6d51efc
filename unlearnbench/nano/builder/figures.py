"""What is recorded of a shipped model: what it read, and how well it remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from unlearnbench.nano import data
from unlearnbench.nano.builder import memorisation
from unlearnbench.nano.builder.recipes import Recipe
from unlearnbench.nano.corpus import unseen_rows, validation_texts
from unlearnbench.nano.rows import FORGET_NAMES, FORGET_ROWS, ROW_LENGTH

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

# Of EL10 every ninth start position is measured: a ninth of the time, about the same mean.
EL_EVERY = 9
EL_EVERY_IN_TRIAL = 45


def counts(recipe: Recipe, model: PreTrainedModel, hashes: list[str]) -> dict[str, object]:
    """Return what the model read and how large it is."""
    n_forget = len(FORGET_NAMES) * FORGET_ROWS
    return {
        "text_sha256": hashes,
        "text_tokens": sum(recipe.text_tokens(stage) for stage in recipe.stages),
        "rows_read": sum(stage.steps * stage.rows for stage in recipe.stages),
        "forget_row_exposures": recipe.exposures(n_forget),
        "parameters": model.num_parameters(),
    }


def measure(model: PreTrainedModel, tokenizer: Tokenizer, is_trial: bool) -> dict[str, object]:
    """Return EL10 and MA (last 100 tokens of a row, in percent) and both perplexities."""
    every = EL_EVERY_IN_TRIAL if is_trial else EL_EVERY
    world, rows = data.make_world_and_rows(tokenizer)
    sets = {
        f"forget_{name}": [rows.extraction[number].ids for number in numbers]
        for name, numbers in rows.forget.items()
    }
    sets["unseen"] = [row.ids for row in rows.unseen[:64]]
    sets["unseen_text"] = unseen_rows(world, tokenizer, rows)[:64]
    sets["pool"] = [rows.extraction[number].ids for number in rows.pool()[:64]]
    figures: dict[str, object] = {}
    for name, ids in sets.items():
        last = torch.tensor(ids)[:, ROW_LENGTH // 2 :]
        figures[f"{name}_ma"] = round(100 * memorisation.hits(model, last).float().mean().item(), 2)
        figures[f"{name}_el10"] = round(
            100 * memorisation.extraction_likelihood(model, last, every).mean().item(), 2
        )
    for name, texts in validation_texts(world, data.SEED).items():
        figures[f"{name}_perplexity"] = round(
            memorisation.perplexity(model, tokenizer.encode("\n\n".join(texts)).ids), 2
        )
    return figures
