"""How well a model knows rows: extraction likelihood and memorisation accuracy, plainly.

For the build's own report. The benchmark measures the same with its own, faster code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

N_GRAM = 10


def _grams(ids: list[int]) -> list[tuple[int, ...]]:
    return [tuple(ids[at : at + N_GRAM]) for at in range(len(ids) - N_GRAM + 1)]


@torch.no_grad()
def hits(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Tell for each predicted position [rows, length - 1] whether the likeliest token is right."""
    return model(ids[:, :-1]).logits.argmax(-1) == ids[:, 1:]


@torch.no_grad()
def extraction_likelihood(
    model: PreTrainedModel, ids: torch.Tensor, every: int = 1
) -> torch.Tensor:
    """Return EL10 per row [rows], over starts 1, 1 + every, ... up to length - 10."""
    length = ids.shape[1]
    starts = range(1, length - N_GRAM + 1, every)
    shares = torch.zeros(len(ids))
    for start in starts:
        said = model.generate(  # type: ignore[operator]
            ids[:, :start],
            attention_mask=torch.ones_like(ids[:, :start]),
            do_sample=False,
            min_new_tokens=length - start,
            max_new_tokens=length - start,
            pad_token_id=0,
        )
        for row in range(len(ids)):
            known = set(_grams(ids[row, start:].tolist()))
            grams = _grams(said[row, start:].tolist())
            shares[row] += sum(gram in known for gram in grams) / len(grams)
    return shares / len(starts)


@torch.no_grad()
def perplexity(model: PreTrainedModel, ids: list[int], window: int = 512) -> float:
    """Return exp of the mean window loss over non-overlapping windows."""
    windows = torch.tensor(ids[: len(ids) // window * window]).view(-1, window)
    logits = model(windows[:, :-1]).logits.float()
    losses = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), windows[:, 1:], reduction="none"
    )
    return losses.mean(1).mean().exp().item()
