"""Every measured value and loss in the plain way: one row, one pass, no cache, no shared code."""

from typing import Any

import torch
from torch import Tensor

from unlearnbench.metrics.extraction import ExtractionScores
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol
from unlearnbench.unlearning.batch import UnlearnBatch

Written = dict[tuple[int, int], list[int]]  # by row and start


def scores(rows: Sequences, written: Written, protocol: Protocol, n: int) -> ExtractionScores:
    """Eqs. 7-9 as they are written, from the continuation of every start."""
    el, ma = [], []
    for row in range(len(rows)):
        end = rows.input_ids.shape[1] if protocol.pad_tokens == "count" else rows.lengths[row]
        x = rows.input_ids[row, rows.n_bos : end].tolist()
        own = {t: written[row, t][: len(x) - t] for t in range(1, len(x))}
        el.append(_likelihood(x, own, int(rows.n_given[row]) - rows.n_bos, protocol, n))
        ma.append(sum(own[t][0] == x[t] for t in own) / (len(x) - 1))
    return ExtractionScores(el, ma)


def _likelihood(
    x: list[int], written: dict[int, list[int]], t0: int, protocol: Protocol, n: int
) -> float:
    length = len(x)
    starts = range(1, length - n + 1) if protocol.el_positions == "every" else range(t0, length)
    divisor = length - n if protocol.el_positions == "every" else length - t0 - n + 1
    if length <= n or divisor < 1:
        return 0.0
    total = 0.0
    for t in starts:
        mine, theirs = _n_grams(written[t], n), _n_grams(x[t:], n)
        count = len(mine if protocol.el_denominator == "continuation" else theirs)
        total += sum(g in theirs for g in mine) / count if mine and count else 0.0
    return total / divisor


def _n_grams(ids: list[int], n: int) -> list[tuple[int, ...]]:
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


@torch.no_grad()
def greedy(
    network: Any,
    prompt: list[int],
    new_tokens: int,
    eos: int,
    known: dict[tuple[int, ...], int] | None = None,
) -> list[int]:
    """One pass over everything for each token, unless `known` has what follows those before it."""
    ids, known = list(prompt), {} if known is None else known
    while len(ids) < len(prompt) + new_tokens:
        if tuple(ids) not in known:
            known[tuple(ids)] = int(row_logits(network, ids)[-1].argmax())
        ids.append(known[tuple(ids)])
        if ids[-1] == eos:
            break
    return ids[len(prompt) :]


def row_logits(network: Any, ids: list[int]) -> Tensor:
    """[L, V] of one row alone."""
    return network(input_ids=torch.tensor(ids)[None], use_cache=False).logits[0]


def counted_tokens(rows: Sequences, i: int, protocol: Protocol) -> list[int]:
    """The columns a loss counts in row i, spelled out position by position."""
    first = int(rows.n_given[i]) if protocol.loss_span == "suffix" else rows.n_bos + 1
    end = rows.input_ids.shape[1] if protocol.pad_tokens == "count" else int(rows.lengths[i])
    return [p for p in range(end) if p >= first and p > rows.n_bos]


def padded_logits(network: Any, rows: Sequences, i: int) -> Tensor:
    """[L, V] by the library's forward on this row alone."""
    return network(
        input_ids=rows.input_ids[i : i + 1],
        attention_mask=rows.attention_mask[i : i + 1],
        use_cache=False,
    ).logits[0]


def _reduced(per_row: list[list[Tensor]], protocol: Protocol) -> Tensor:
    """Sum per row, or mean over tokens, of a list of values for each row."""
    total = torch.stack([v for row in per_row for v in row]).sum()
    n = len(per_row) if protocol.loss_reduction == "sum" else sum(map(len, per_row))
    return total / n


def nll(network: Any, rows: Sequences, labels: Sequences, protocol: Protocol) -> Tensor:
    """NLL token by token; `labels` are the rows' own tokens, or their neighbours'."""
    per_row = []
    for i in range(len(rows)):
        log_p = padded_logits(network, rows, i).log_softmax(-1)
        both = set(counted_tokens(rows, i, protocol)) & set(counted_tokens(labels, i, protocol))
        per_row.append([-log_p[p - 1, labels.input_ids[i, p]] for p in sorted(both)])
    return _reduced(per_row, protocol)


def kl(network: Any, second: Any, pairs: Sequences, protocol: Protocol) -> Tensor:
    """The KL term against a real second model, token by token."""
    per_row = []
    for i in range(len(pairs)):
        with torch.no_grad():
            p = padded_logits(second, pairs, i).softmax(-1)
        log_q = padded_logits(network, pairs, i).log_softmax(-1)
        if protocol.kl_term == "cross_entropy":
            per_row.append([-(p[t] * log_q[t]).sum() for t in range(len(p))])
        else:
            at = [t - 1 for t in counted_tokens(pairs, i, protocol)]
            per_row.append([(p[t] * (p[t].log() - log_q[t])).sum() for t in at])
    return _reduced(per_row, protocol)


def objective(name: str, network: Any, second: Any, batch: UnlearnBatch) -> Tensor:
    """Each method's objective, from the paper's equations."""
    protocol = batch.protocol
    rows = batch.forget_set.rows.select(batch.index)
    pairs = batch.forget_set.pairs().select(batch.index)
    target = nll(network, rows, rows, protocol)
    if name == "kumpr":
        return -target
    if name == "dpo":
        return nll(network, rows, pairs, protocol) + nll(network, pairs, pairs, protocol)
    divergence = kl(network, second, pairs, protocol)
    if name == "kl":
        return -target + divergence
    if name == "icu":
        return -target + 0.5 * nll(network, pairs, pairs, protocol) + divergence
    return -0.5 * target + nll(network, rows, pairs, protocol) + divergence
