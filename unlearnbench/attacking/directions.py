"""Directions of the residual stream in which two models differ, and networks without them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from unlearnbench.attacking.hidden_states import (
    head_idle,
    run_through,
    states_in,
    states_read,
    with_states,
)
from unlearnbench.models.paired import networks_of
from unlearnbench.models.scoring import layers_of
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

# A difference as small as this beside the states themselves is rounding: there is none.
_SMALLEST = 1e-6


def prefix_tokens(rows: Sequences, skipped: int, most: int) -> Tensor:
    """[B, L] bool: tokens of the rows' prefixes without their first ones, at most `most` in all.

    BOS does not count.  `skipped` tokens are left out, of a prefix of fewer than twice as many its
    first half.  Of too many, evenly spaced ones are taken.
    """
    at = torch.arange(rows.input_ids.shape[1])[None, :]
    left_out = ((rows.n_given - rows.n_bos) // 2).clamp(max=skipped)
    first = rows.n_bos + left_out[:, None]
    offered = ((at >= first) & (at < rows.n_given[:, None])).flatten().nonzero()[:, 0]
    if len(offered) > most:
        offered = offered[torch.linspace(0, len(offered) - 1, most).long()]
    chosen = torch.zeros(rows.input_ids.numel(), dtype=torch.bool)
    chosen[offered] = True
    return chosen.reshape(rows.input_ids.shape)


@torch.no_grad()
def residual_states(
    model: "LanguageModel", rows: Sequences, tokens: Tensor, layers: Sequence[int], batch_size: int
) -> list[dict[int, Tensor]]:
    """Of each of the model's networks, by layer: [n, d] float32 what it gives at the tokens.

    `tokens` [B, L] is true at n of them.  They are on the CPU.
    """
    width = int(tokens.any(0).nonzero().max()) + 1  # what stands behind them changes nothing
    networks = networks_of(model)
    found: list[dict[int, list[Tensor]]] = [{n: [] for n in layers} for _ in networks]
    for batch in torch.arange(len(rows)).split(batch_size):
        here, some = tokens[batch, :width], rows.select(batch)
        if not here.any():
            continue
        with ExitStack() as hooks:
            read = [
                {n: hooks.enter_context(states_read(layers_of(network)[n], here)) for n in layers}
                for network in networks
            ]
            hooks.enter_context(head_idle(model))
            run_through(model, replace(some, input_ids=some.input_ids[:, :width]))
        for of_network, states in zip(found, read, strict=True):
            for n, (at_tokens,) in states.items():
                of_network[n].append(at_tokens.float().cpu())
    return [{n: torch.cat(parts) for n, parts in of_network.items()} for of_network in found]


def direction_between(
    unlearned: Tensor, original: Tensor, how: Literal["mean", "pca"], outlier: float
) -> Tensor | None:
    """[d] of length 1: in which two models' states [n, d] at the same tokens differ; None: nowhere.

    'mean' is the difference of the means; 'pca' the first principal axis of the n differences,
    taken through the origin: that is the direction in which most of their square length lies.
    Tokens whose original state is an outlier do not count.
    """
    counted = ~outliers(original, outlier)
    differences = (unlearned - original)[counted].double()
    rounding = _SMALLEST * float(original[counted].double().norm(dim=1).mean())
    if how == "mean":
        direction = differences.mean(0)
        is_there = float(direction.norm()) > rounding
    else:
        moments = differences.T @ differences / len(differences)
        values, axes = torch.linalg.eigh(moments)
        direction = axes[:, -1]
        is_there = float(values[-1].clamp(min=0).sqrt()) > rounding
    return (direction / direction.norm()).float() if is_there else None


def outliers(states: Tensor, most: float) -> Tensor:
    """[n] bool: the states [n, d] whose mean L1 distance to all n has a z-score over `most`."""
    distances = mean_l1_distances(states)
    if len(distances) < 2:
        return torch.zeros(len(distances), dtype=torch.bool)
    spread = distances.std()
    return (distances - distances.mean()) > most * spread


def mean_l1_distances(states: Tensor) -> Tensor:
    """[n] the mean over all n of the L1 distance from each state [n, d].

    Dimension by dimension in order of size: the r-th value x_r of n is in all x_r (2r - n) + T - 2P
    from the others, T the sum of all values and P that of the r before it.
    """
    ordered, places = states.double().sort(dim=0)
    n_states = len(states)
    ranks = torch.arange(n_states, dtype=torch.double)[:, None]
    before = ordered.cumsum(0) - ordered
    sums = ordered * (2 * ranks - n_states) + ordered.sum(0) - 2 * before
    return torch.zeros_like(sums).scatter_(0, places, sums).sum(1) / n_states


def without(states: Tensor, direction: Tensor, strength: float) -> Tensor:
    """h - strength (h . v) v of states [..., d] and a direction v [d] of length 1."""
    wide, axis = states.float(), direction.to(states.device)
    removed = strength * (wide @ axis)[..., None] * axis
    return (wide - removed).to(states.dtype)


@contextmanager
def ablated(
    model: "LanguageModel", directions: "Sequence[dict[int, Tensor]]", strength: float
) -> Iterator[None]:
    """Within, each layer's output loses its part along the layer's direction.

    `directions` has an entry for each of the model's networks.  With a strength of 0 and without
    directions nothing is hooked in.
    """
    hooks = []
    if strength:
        for network, by_layer in zip(networks_of(model), directions, strict=True):
            for number, direction in by_layer.items():
                hook = _ablation(direction, strength)
                hooks.append(layers_of(network)[number].register_forward_hook(hook))
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def _ablation(direction: Tensor, strength: float) -> Callable[[nn.Module, Any, Any], Any]:
    def take_away(_layer: nn.Module, _args: Any, made: Any) -> Any:
        return with_states(made, without(states_in(made), direction, strength))

    return take_away
