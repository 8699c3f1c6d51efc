"""The distance of a model's predictions to another's on the answers of items."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnbench.data.forget_source import Parts, assemble
from unlearnbench.models.generation.room import Room
from unlearnbench.models.scoring import head_outputs, predictors_of, suffix_mask, sum_rows, widened

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


def kl_divergence(reference: Tensor, own: Tensor) -> Tensor:
    """[N] nats: KL[reference || own] between the distributions of logits [N, V]."""
    expected, predicted = (F.log_softmax(widened(logits), -1) for logits in (reference, own))
    return F.kl_div(predicted, expected, reduction="none", log_target=True).sum(-1)


@torch.no_grad()
def answer_kl(
    model: "LanguageModel",
    reference: "LanguageModel",
    parts: Sequence[Parts],
    where: Sequence[str],
    batch_size: int = 8,
) -> list[float]:
    """Per item the mean over its answer's tokens of KL[reference || model] in nats.

    `parts` are prompts and answers in the tokens that both models read; `where` is what errors
    call each.  Raises `UserError` for an item that is longer than the context.
    """
    rows = assemble(model, parts, tuple(map(str, range(len(parts)))), where)
    room, lengths = Room.of(model, n_rows=1), rows.lengths
    order = sorted(range(len(rows)), key=lambda row: -int(lengths[row]))
    values = [0.0] * len(rows)
    while order:
        width = int(lengths[order[0]])
        step = max(n for n in range(1, batch_size + 1) if room.holds(n, width, 0, 2 * n * width))
        batch, order = order[:step], order[step:]
        chosen = rows.select(batch)
        for row, value in zip(batch, _means(model, reference, chosen), strict=True):
            values[row] = value
        model.meter.advance(len(rows) - len(order), len(rows))
    return values


def _means(model: "LanguageModel", reference: "LanguageModel", rows: "Sequences") -> list[float]:
    mask = suffix_mask(rows)
    mask[:, 0] = False  # nothing stands before it to predict it from
    own, other = (head_outputs(each, rows, predictors_of(mask)) for each in (model, reference))
    counts = mask.sum(1).tolist()
    sums = sum_rows(other.values(kl_divergence, own), counts)
    return [float(total) / n for total, n in zip(sums, counts, strict=True)]
