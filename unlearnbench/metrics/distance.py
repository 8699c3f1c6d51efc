"""The distance of a model's predictions to another's: on items' answers, and on whole rows."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnbench.data.forget_source import Parts, assemble
from unlearnbench.metrics.answers import margins
from unlearnbench.models.generation.room import Room
from unlearnbench.models.scoring import (
    head_outputs,
    labels_of,
    predictors_of,
    suffix_mask,
    sum_rows,
    widened,
)

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


def kl_divergence(reference: Tensor, own: Tensor) -> Tensor:
    """[N] nats: KL[reference || own] between the distributions of logits [N, V]."""
    expected, predicted = (F.log_softmax(widened(logits), -1) for logits in (reference, own))
    return F.kl_div(predicted, expected, reduction="none", log_target=True).sum(-1)


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
    return _means(model, reference, rows, suffix_mask, _kl, batch_size)[0]


def row_distances(
    model: "LanguageModel", reference: "LanguageModel", rows: "Sequences", batch_size: int = 8
) -> tuple[list[float], list[float]]:
    """Per row the mean KL[reference || model] and the model's mean margin, both in nats.

    Over the tokens that MA (eq. 9) counts: every one of a row after its first.  A token's margin
    is that of KLOM.  Both models read the rows' token ids.
    """
    kl, margin = _means(model, reference, rows, _predicted, _kl_and_margin, batch_size)
    return kl, margin


def _predicted(rows: "Sequences") -> Tensor:
    """[B, L] bool, the rows' own tokens that something of the row stands before."""
    at = torch.arange(rows.input_ids.shape[1])[None, :]
    return (at > rows.n_bos) & (at < rows.lengths[:, None])


# What is made of the reference's and the model's own logits [N, V] and the tokens [N]: [K, N].
_Function = Callable[[Tensor, Tensor, Tensor], Tensor]


def _kl(reference: Tensor, own: Tensor, _tokens: Tensor) -> Tensor:
    return kl_divergence(reference, own)[None]


def _kl_and_margin(reference: Tensor, own: Tensor, tokens: Tensor) -> Tensor:
    return torch.stack([kl_divergence(reference, own), margins(own, tokens)])


@torch.no_grad()
def _means(
    model: "LanguageModel",
    reference: "LanguageModel",
    rows: "Sequences",
    counted: Callable[["Sequences"], Tensor],
    function: _Function,
    batch_size: int,
) -> list[list[float]]:
    """[K, rows] the mean of each of the function's values over a row's counted tokens."""
    room, lengths = Room.of(model, n_rows=1), rows.lengths
    order = sorted(range(len(rows)), key=lambda row: -int(lengths[row]))
    by_row: dict[int, list[float]] = {}
    while order:
        width = int(lengths[order[0]])
        step = max(n for n in range(1, batch_size + 1) if room.holds(n, width, 0, 2 * n * width))
        batch, order = order[:step], order[step:]
        chosen = rows.select(batch)
        by_row |= zip(
            batch, _of_batch(model, reference, chosen, counted(chosen), function), strict=True
        )
        model.meter.advance(len(by_row), len(rows))
    return [list(values) for values in zip(*(by_row[i] for i in range(len(rows))), strict=True)]


def _of_batch(
    model: "LanguageModel",
    reference: "LanguageModel",
    rows: "Sequences",
    mask: Tensor,
    function: _Function,
) -> list[list[float]]:
    """[rows, K]."""
    mask[:, 0] = False  # nothing stands before it to predict it from
    own, other = (head_outputs(each, rows, predictors_of(mask)) for each in (model, reference))
    tokens, counts = labels_of(rows, mask, model.device)
    values = other.values(function, own, tokens)
    sums = (sum_rows(of_all, counts).tolist() for of_all in values)
    return [[s / n for s in own] for n, *own in zip(counts, *sums, strict=True)]
