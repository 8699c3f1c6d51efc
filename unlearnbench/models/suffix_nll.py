"""How likely a model finds what is to be forgotten, row by row."""

from typing import TYPE_CHECKING

import torch

from unlearnbench.models.scoring import score_tokens, suffix_mask

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences

_AT_ONCE = 16  # rows


@torch.no_grad()
def suffix_nll(model: "LanguageModel", rows: "Sequences") -> list[float]:
    """[N] nats per token of each row's suffix or answer, under the model."""
    means: list[float] = []
    for start in range(0, len(rows), _AT_ONCE):
        part = rows.select(range(start, min(start + _AT_ONCE, len(rows))))
        scores = score_tokens(model, part, suffix_mask(part))
        sums, counts = scores.nll_per_row.tolist(), scores.counts
        means += [total / max(n, 1) for total, n in zip(sums, counts, strict=True)]
    return means
