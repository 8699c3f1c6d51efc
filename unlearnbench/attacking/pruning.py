"""Which weights of linear layers are removed: scores of their importance, and what scores choose.

Every matrix is [outputs, inputs].
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from unlearnbench.attacking.weights import as_matrix
from unlearnbench.models.paired import networks_of
from unlearnbench.models.scoring import score_tokens, suffix_mask
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from unlearnbench.attacking.weights import LinearWeights
    from unlearnbench.models.language_model import LanguageModel

Score = Literal["wanda", "snip"]


def wanda(matrix: Tensor, input_norms: Tensor) -> Tensor:
    """|W_ij| |x_j|_2, the norm over all tokens (Sun et al. 2024, equation 1)."""
    return matrix.abs().float() * input_norms[None, :]


def set_difference(forget: Tensor, retain: Tensor, p: float, q: float) -> Tensor:
    """[outputs, inputs] bool: in the top share p by the forget scores, not in the top q by retain.

    Wei et al. 2024, section 3.2; both tops are of the whole matrix.
    """
    return top(forget, p) & ~top(retain, q)


def top(scores: Tensor, share: float) -> Tensor:
    """Whether each is among the highest share of a matrix; of equal ones the first count."""
    return _first(scores.reshape(1, -1), share, highest=True).reshape(scores.shape)


def lowest(scores: Tensor, share: float) -> Tensor:
    """Whether each is among the lowest share of a matrix; of equal ones the first count."""
    return _first(scores.reshape(1, -1), share, highest=False).reshape(scores.shape)


def lowest_by_output(scores: Tensor, share: float) -> Tensor:
    """Whether each is among the lowest share of its row, as WANDA compares weights."""
    return _first(scores, share, highest=False)


def _first(scores: Tensor, share: float, *, highest: bool) -> Tensor:
    n_chosen = math.floor(share * scores.shape[1] + 1e-9)  # 0.29 of 100 is 29
    order = scores.sort(dim=1, descending=highest, stable=True).indices
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    return chosen.scatter_(1, order[:, :n_chosen], True)


def importance(
    model: "LanguageModel",
    weights: "LinearWeights",
    rows: Sequences,
    score: Score,
    batch_size: int,
) -> dict[str, Tensor]:
    """Each layer's scores on these rows, padding aside; none of a layer that no token reaches."""
    if score == "snip":
        return gradient_scores(model, weights, rows)
    norms, kept = input_norms(model, weights.layers, rows, batch_size), weights.kept
    return {n: wanda(kept[n], own.to(kept[n].device)) for n, own in norms.items()}


@torch.no_grad()
def input_norms(
    model: "LanguageModel",
    layers: Mapping[str, nn.Module],
    rows: Sequences,
    batch_size: int,
) -> dict[str, Tensor]:
    """[inputs] by layer, on the CPU: the L2 norm of each input over all tokens of all rows."""
    squares: dict[str, Tensor] = {}

    def add(name: str, inputs: Tensor) -> None:
        tokens = inputs.detach().reshape(-1, inputs.shape[-1]).float()
        squares[name] = squares.get(name, 0) + tokens.square().sum(0).cpu().double()

    with _inputs_seen(layers, add):
        for batch in _unpadded(rows, batch_size):
            model.network(input_ids=batch.input_ids.to(model.device), use_cache=False)
    return {name: total.sqrt().float() for name, total in squares.items()}


@contextmanager
def _inputs_seen(layers: Mapping[str, nn.Module], see: Any) -> Iterator[None]:
    def hook(name: str) -> Any:
        return lambda _layer, args: see(name, args[0])

    hooks = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def gradient_scores(
    model: "LanguageModel", weights: "LinearWeights", rows: Sequences
) -> dict[str, Tensor]:
    """[outputs, inputs] by layer: the mean over rows of |W dL/dW| (SNIP; Lee et al. 2019).

    L is the mean negative log-likelihood of a row's suffix (Wei et al. 2024, equation 1); rows
    without one do not count.
    """
    sums: dict[str, Tensor] = {}
    n_rows = 0
    with _gradients(model, weights):
        for row in _unpadded(rows, 1):
            mask = suffix_mask(row)
            if not mask.any():
                continue
            n_rows += 1
            with torch.enable_grad():
                score_tokens(model, row, mask).token_nll.mean().backward()
            for name, layer in weights.layers.items():
                gradient: Any = layer.weight.grad
                if gradient is not None:
                    kept = weights.kept[name]
                    slopes = as_matrix(layer, gradient).to(kept.device)
                    sums[name] = sums.get(name, 0) + (kept.float() * slopes.float()).abs()
                layer.weight.grad = None
    return {name: total / n_rows for name, total in sums.items()}


@contextmanager
def _gradients(model: "LanguageModel", weights: "LinearWeights") -> Iterator[None]:
    """Within, the weights of linear layers alone are differentiated for."""
    parameters = [p for network in networks_of(model) for p in network.parameters()]
    needed = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(False)
    for layer in weights.layers.values():
        layer.weight.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, need in zip(parameters, needed, strict=True):
            parameter.requires_grad_(need)


def _unpadded(rows: Sequences, batch_size: int) -> Iterator[Sequences]:
    """Rows of one length together, so that there is no padding to tell from them."""
    lengths = rows.lengths.tolist()
    for length in sorted(set(lengths)):
        alike = [i for i, own in enumerate(lengths) if own == length]
        for first in range(0, len(alike), batch_size):
            batch = rows.select(alike[first : first + batch_size])
            yield Sequences(
                batch.input_ids[:, :length],
                batch.lengths,
                batch.n_given,
                batch.doc_ids,
                batch.n_bos,
            )
