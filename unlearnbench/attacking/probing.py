"""A linear head of its own for a layer: what it learns from, and what it reads off."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnbench.attacking.hidden_states import head_inputs_of
from unlearnbench.attacking.spans import SpanTokens, TokenMeans, batches
from unlearnbench.models.scoring import hidden_states, output_head, predictors_of
from unlearnbench.unlearning.steps import shuffled_batches

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences

_TOKENS = 512  # that a step is made on


def head_like(model: "LanguageModel") -> nn.Linear:
    """A head with the model's own weights, in float32; what scales logits behind it is not."""
    own: Any = output_head(model)
    weight, bias = own.weight.detach(), getattr(own, "bias", None)
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device)
    with torch.no_grad():
        head.weight.copy_(weight)
        if bias is not None:
            head.bias.copy_(bias)
    return head


@torch.no_grad()
def examples(
    model: "LanguageModel", rows: "Sequences", layer: int, batch_size: int
) -> tuple[Tensor, Tensor]:
    """[N, d] what the head reads of a layer before each token of the rows, and [N] the tokens."""

    def all_but_first(of: "Sequences") -> Tensor:
        at = torch.arange(of.input_ids.shape[1])[None, :]
        return (at > of.n_bos) & (at < of.lengths[:, None])

    by_row: dict[int, tuple[Tensor, Tensor]] = {}
    for chosen, batch in batches(model, rows, batch_size):
        mask = all_but_first(batch)
        counts = mask.sum(1).tolist()
        inputs = _inputs(model, batch, predictors_of(mask), layer).split(counts)
        tokens = batch.input_ids[mask].to(model.device).split(counts)
        by_row |= zip(chosen, zip(inputs, tokens, strict=True), strict=True)
    # In the rows' order: which went together depends on the room there was.
    ordered = [by_row[row] for row in range(len(rows))]
    return torch.cat([own for own, _ in ordered]), torch.cat([tokens for _, tokens in ordered])


def train(
    head: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    epochs: int,
    learning_rate: float,
    order: torch.Generator,
) -> float:
    """Adam on the cross-entropy of `labels` [N] after `inputs` [N, d]; the last epoch's mean."""
    adam = torch.optim.Adam(head.parameters(), lr=learning_rate)
    total = 0.0
    with torch.enable_grad():
        for _ in range(epochs):
            total = 0.0
            for batch in shuffled_batches(range(len(labels)), _TOKENS, order):
                loss = F.cross_entropy(head(inputs[batch]), labels[batch])
                adam.zero_grad()
                loss.backward()
                adam.step()
                total += float(loss.detach()) * len(batch)
    return total / len(labels)


@torch.no_grad()
def read_off(
    model: "LanguageModel",
    head: Callable[[Tensor], Tensor],
    rows: "Sequences",
    layer: int,
    batch_size: int,
) -> dict[str, TokenMeans]:
    """What the head says of the rows' suffixes, by doc_id in the rows' order."""
    read: dict[int, TokenMeans] = {}
    for chosen, batch in batches(model, rows, batch_size):
        tokens = SpanTokens.of(batch, model.device)
        inputs = _inputs(model, batch, tokens.positions, layer)
        read |= zip(chosen, tokens.read(map(head, inputs.split(_TOKENS))), strict=True)
    return {doc_id: read[row] for row, doc_id in enumerate(rows.doc_ids)}


def _inputs(model: "LanguageModel", rows: "Sequences", positions: Tensor, layer: int) -> Tensor:
    """[N, d] float32 what the head would read if that layer were the last."""
    return head_inputs_of(model, hidden_states(model, rows, positions, layer)).float()
