"""Samples: many continuations of each prompt, drawn at a temperature, behind one pass over it."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unlearnbench.models.generation.branches import Branch, decode_branches
from unlearnbench.models.generation.replies import prefill_prompts
from unlearnbench.models.generation.room import Room
from unlearnbench.models.gpt_neo import reads_shared_columns

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

_LEAST = 32  # branches that go together, whatever they take


@dataclass(frozen=True)
class Sampling:
    """How many continuations are drawn of each prompt, and how."""

    n: int
    new_tokens: int  # at most
    temperature: float = 1.0  # above 0
    top_p: float = 1.0  # of the distribution at that temperature


def draw_samples(
    model: "LanguageModel",
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    uniforms: Callable[[int], Tensor],
    ends: Collection[int] = (),
) -> Iterator[tuple[int, list[list[int]]]]:
    """Each prompt's place, and the tokens of its [n] samples.  The shortest prompts come first.

    `uniforms` gives a prompt's own numbers in [0, 1), [n, new_tokens] float64: the token of a
    sample at a step is where its number falls in the distribution's sum.  So what is drawn hangs
    neither on the batch nor on the other prompts, and two models that think alike draw alike.
    A sample ends before an end of sequence or a token of `ends`.  A prompt goes through the network
    once; its samples read its keys and values where it has them, or copies where the network
    cannot.  Memory is bounded, and with it how many prompts go together.
    """
    every_end = {*ends, *([] if model.eos_token_id is None else [model.eos_token_id])}
    n_done = 0
    for batch in _batches(model, [len(prompt) for prompt in prompts], sampling):
        draws = torch.stack([uniforms(place) for place in batch])
        written = _samples(model, [prompts[place] for place in batch], sampling, draws, every_end)
        for place, samples in zip(batch, written, strict=True):
            yield place, [_before(every_end, ids) for ids in samples]
        n_done += len(batch)
        model.meter.advance(n_done, len(prompts))


def _before(ends: Collection[int], ids: Sequence[int]) -> list[int]:
    # A network that keeps no columns goes on behind all of them but the end of sequence.
    return list(itertools.takewhile(lambda token: token not in ends, ids))


def _batches(
    model: "LanguageModel", lengths: Sequence[int], sampling: Sampling
) -> Iterator[list[int]]:
    """Prompts that go together; neighbours in length, so that little of a batch is padding."""
    room, shares = Room.of(model, 1), reads_shared_columns(model.network)
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        n, length = len(batch) + 1, lengths[place]
        own = sampling.new_tokens + (0 if shares else length)
        if batch and not (room.keeps(n, length) and room.continues(n * sampling.n, own)):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@torch.inference_mode()
def _samples(
    model: "LanguageModel",
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    draws: Tensor,  # [R, n, T]
    ends: set[int],
) -> list[list[list[int]]]:
    """[R][n] the tokens of each sample, with the one that ends it and maybe some behind it."""
    prefill, logits = prefill_prompts(model, prompts)
    weights = token_weights(logits, sampling.temperature, sampling.top_p)
    firsts = drawn_tokens(weights, draws[:, :, 0].to(weights.device)).tolist()
    branches = [
        Branch(row, len(prompt), first, len(prompt) + sampling.new_tokens)
        for row, (prompt, own) in enumerate(zip(prompts, firsts, strict=True))
        for first in own
    ]
    choice = _Draws(draws.flatten(0, 1), torch.tensor([b.start for b in branches]), sampling)
    watch = _Ends(torch.tensor(sorted(ends))) if ends else None
    written = decode_branches(model, prefill, branches, _LEAST, watch, choice)
    return [written[at : at + sampling.n] for at in range(0, len(written), sampling.n)]


@dataclass(frozen=True)
class _Draws:
    """Takes the token on which a branch's number of that step falls."""

    uniforms: Tensor  # [N, T] float64
    starts: Tensor  # [N]
    sampling: Sampling

    def tokens(self, branches: Tensor, column: int, logits: Tensor) -> Tensor:
        """[k] of these branches, at `column`."""
        steps = (column - self.starts[branches]).clamp_max(self.uniforms.shape[1] - 1)
        numbers = self.uniforms[branches, steps].to(logits.device)
        weights = token_weights(logits, self.sampling.temperature, self.sampling.top_p)
        return drawn_tokens(weights, numbers[:, None])[:, 0].cpu()


@dataclass(frozen=True)
class _Ends:
    """Settles the branches that have got a token which ends them."""

    ends: Tensor

    def settled(
        self,
        branches: Tensor,  # noqa: ARG002
        column: int | Tensor,  # noqa: ARG002
        tokens: Tensor,
    ) -> Tensor:
        """[k] bool."""
        return torch.isin(tokens, self.ends)


def token_weights(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """[..., V] in float32: what a token's probability is proportional to, 0 where it is left out.

    exp((z - max z) / temperature), of which `top_p` keeps the smallest set of the most probable
    tokens whose probabilities add up to it at least (Holtzman et al. 2020).  Tokens as probable as
    the last of the set are kept with it.
    """
    logits = logits.float()
    weights = (logits - logits.amax(-1, keepdim=True)).div_(temperature).exp_()
    if top_p >= 1:
        return weights
    ordered = _descending(weights)
    summed = ordered.cumsum(-1, dtype=torch.float64)
    last = (summed < top_p * summed[..., -1:]).sum(-1, keepdim=True)
    least = ordered.gather(-1, last.clamp_max(ordered.shape[-1] - 1))
    return weights.masked_fill(weights < least, 0.0)


def _descending(weights: Tensor) -> Tensor:
    if weights.device.type == "cpu":
        # numpy's sort of values is vectorised: 18 times as fast as torch's on 2,048 of them.
        return torch.from_numpy(np.sort(weights.numpy(), axis=-1)).flip(-1)
    return weights.sort(-1, descending=True).values


def drawn_tokens(weights: Tensor, numbers: Tensor) -> Tensor:
    """[..., k] token ids of weights [..., V] by numbers [..., k] in [0, 1): the inverse of the
    distribution function, in the order of the vocabulary.

    A token without weight is never drawn.
    """
    # In float64, for the sum of a large vocabulary is larger than its last terms are exact.
    summed = weights.cumsum(-1, dtype=torch.float64)
    total = summed[..., -1:]
    below = torch.minimum(numbers * total, total.nextafter(torch.zeros_like(total)))
    tokens = torch.searchsorted(summed, below, right=True)
    return tokens.clamp_max_(weights.shape[-1] - 1)  # of scores that are no numbers the last
