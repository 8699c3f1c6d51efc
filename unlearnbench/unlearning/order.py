"""The order in which rows are trained on."""

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seeded_generator(seed: int, purpose: str) -> "torch.Generator":
    """One generator per purpose, so that a method's draws do not move the order of rows."""
    import torch

    digest = sha256(f"{seed}:{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def shuffled_batches(
    rows: Sequence[int], batch_size: int, order: "torch.Generator"
) -> list[list[int]]:
    """One epoch: every row once, in a new order; the last batch may be smaller."""
    import torch

    shuffled = [rows[i] for i in torch.randperm(len(rows), generator=order).tolist()]
    return [shuffled[i : i + batch_size] for i in range(0, len(shuffled), batch_size)]
