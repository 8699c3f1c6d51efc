"""What an attack trains on and what it is scored by: two halves of what is to be forgotten."""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from unlearnbench.unlearning.steps import seeded_generator

if TYPE_CHECKING:
    from unlearnbench.data.items import Item, Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


def draw_rows(n_rows: int, n_drawn: int, seed: int) -> tuple[list[int], list[int]]:
    """The rows that are drawn to be trained on, and the others; each in its order."""
    order = torch.randperm(n_rows, generator=seeded_generator(seed, "rows to train on")).tolist()
    return sorted(order[:n_drawn]), sorted(order[n_drawn:])


def texts_of(model: "LanguageModel", rows: "Sequences") -> frozenset[str]:
    """What the rows' suffixes say, special tokens and outer spaces aside."""
    suffixes = [rows.suffix(row) for row in range(len(rows))]
    decoded = model.tokenizer.batch_decode(
        suffixes, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return frozenset(text.strip() for text in decoded) - {""}


def held_out(split: "Split", trained_on: Collection[str]) -> "Split":
    """The split without items whose answer was trained on, or whose text holds such a text.

    An item is known by what it says: another split's items have other names for the same.
    """
    return replace(split, items=tuple(i for i in split.items if not _is_told(i, trained_on)))


def _is_told(item: "Item", trained_on: Collection[str]) -> bool:
    if item.question:
        return item.answer.strip() in trained_on
    return any(text in item.answer for text in trained_on)
