"""ICU's epoch as the released code runs it: scores everywhere, all pairs' probabilities stored."""

from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol
from unlearnbench.unlearning.optimizer import ADAM_BETAS
from unlearnbench.unlearning.steps import seeded_generator, shuffled_batches

_GUARD = 1e-12  # inside the logarithm, as the released code has it


def stored_probabilities(model: LanguageModel, pairs: Sequences, batch_size: int) -> Tensor:
    """[M, L, V] float32 of a second, frozen model, which is let go afterwards."""
    frozen = model.copied()  # what goes through it is counted too
    n_rows, length = pairs.input_ids.shape
    vocabulary = model.network.config.get_text_config().vocab_size
    stored = torch.empty(n_rows, length, vocabulary, device=model.device)
    with torch.no_grad():
        for part in torch.arange(n_rows).split(batch_size):
            stored[part] = F.softmax(_logits(frozen, pairs.select(part)).float(), -1)
    return stored


def unlearn_as_released(
    model: LanguageModel,
    forget_set: ForgetSet,
    method: Any,  # ICU: its weights, learning rate, batch size and seed
    epochs: int,
    seen: Callable[[dict[str, float], Tensor], None],
) -> None:
    """Train for some epochs; after each, `seen` is given the mean losses and what is stored."""
    rows, pairs = forget_set.rows, forget_set.pairs()
    stored = stored_probabilities(model, pairs, method.batch_size)
    weights = model.network.parameters()
    adam = torch.optim.Adam(weights, lr=method.learning_rate, betas=ADAM_BETAS)
    order = seeded_generator(method.seed, "order")
    with model.training():
        for _ in range(epochs):
            told = []
            for index in shuffled_batches(range(len(rows)), method.batch_size, order):
                batch = (rows.select(index), pairs.select(index), stored[index])
                terms = loss_terms(model, *batch, (method.alpha, method.beta), forget_set.protocol)
                adam.zero_grad()
                sum(terms.values(), torch.zeros((), device=model.device)).backward()
                adam.step()
                told.append({name: term.item() for name, term in terms.items()})
            seen({name: fmean(t[name] for t in told) for name in told[0]}, stored)


def loss_terms(
    model: LanguageModel,
    rows: Sequences,
    pairs: Sequences,
    probabilities: Tensor,  # [B, L, V] of the pairs
    weights: tuple[float, float],
    protocol: Protocol,
) -> dict[str, Tensor]:
    """ICU's three terms (eq. 6), from a pass over the targets and one over the pairs."""
    alpha, beta = weights
    target, pair = _logits(model, rows), _logits(model, pairs)
    return {
        "target": -_nll(target, rows, protocol),
        "learn": alpha * _nll(pair, pairs, protocol),
        "kl": beta * _divergence(pair, probabilities, pairs, protocol),
    }


def _logits(model: LanguageModel, rows: Sequences) -> Tensor:
    return model.logits(rows.input_ids.to(model.device), rows.attention_mask.to(model.device))


def _nll(logits: Tensor, rows: Sequences, protocol: Protocol) -> Tensor:
    first = _first_counted(rows, protocol)
    labels = rows.input_ids[:, first:].to(logits.device)
    scores = logits.float()[:, first - 1 : -1].flatten(0, 1)
    total = F.cross_entropy(scores, labels.flatten(), reduction="sum")
    return total / (len(rows) if protocol.loss_reduction == "sum" else labels.numel())


def _divergence(logits: Tensor, p: Tensor, rows: Sequences, protocol: Protocol) -> Tensor:
    log_q = torch.log(F.softmax(logits.float(), dim=-1) + _GUARD)
    if protocol.kl_term == "cross_entropy":
        values = -(p * log_q).sum(-1)
    else:
        here = slice(_first_counted(rows, protocol) - 1, -1)
        values = (p * (torch.log(p + _GUARD) - log_q)).sum(-1)[:, here]
    return values.sum() / (len(rows) if protocol.loss_reduction == "sum" else values.numel())


def _first_counted(rows: Sequences, protocol: Protocol) -> int:
    """The first column that the loss wants predicted."""
    return int(rows.n_given[0]) if protocol.loss_span == "suffix" else rows.n_bos + 1
