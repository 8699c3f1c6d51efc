"""Next-token scores at chosen positions only: the output head is most of a small batch's cost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unlearnbench.errors import UserError
from unlearnbench.losses import Reduction, predictors_of, reduce_tokens, sum_rows, token_nll

if TYPE_CHECKING:
    from unlearnbench.model import LanguageModel
    from unlearnbench.sequences import Sequences


@dataclass(frozen=True)
class TokenScores:
    """Scores of the counted tokens of a batch, row after row."""

    logits: Tensor  # [N, V]
    labels: Tensor  # [N] int64
    counts: tuple[int, ...]  # counted tokens of each row; they sum to N

    @cached_property
    def token_nll(self) -> Tensor:
        """[N] nats."""
        return token_nll(self.logits, self.labels)

    @cached_property
    def nll_per_row(self) -> Tensor:
        """[B] nats, summed over each row's counted tokens."""
        return sum_rows(self.token_nll, self.counts)

    def nll(self, reduction: Reduction, n_tokens: float | None = None) -> Tensor:
        """The batch's negative log-likelihood in nats; `n_tokens` as `reduce_tokens` takes it."""
        return reduce_tokens(self.token_nll, len(self.counts), reduction, n_tokens)


def score_tokens(
    model: "LanguageModel",
    sequences: "Sequences",
    mask: Tensor,
    network: Callable[..., Any] | None = None,
) -> TokenScores:
    """The scores of the tokens where `mask` [B, L] bool is true."""
    device = model.device
    logits = position_logits(model, sequences, predictors_of(mask), network)
    counted = mask.clone()
    counted[:, 0] = False  # nothing stands before it to predict it from
    return TokenScores(
        logits, sequences.input_ids[counted].to(device), tuple(counted.sum(1).tolist())
    )


def position_logits(
    model: "LanguageModel",
    sequences: "Sequences",
    positions: Tensor,
    network: Callable[..., Any] | None = None,
) -> Tensor:
    """[N, V] the network's output at the positions where `positions` [B, L] bool is true.

    `network` is what is called, if it is not the model's own: a wrapper that
    synchronises gradients between processes.
    """
    device = model.device
    with _head_reads_only(output_head(model), positions.to(device)):
        output = (network or model.network)(
            input_ids=sequences.input_ids.to(device),
            attention_mask=sequences.attention_mask.to(device),
            use_cache=False,
        )
    logits: Tensor = output.logits[0]
    return logits


def output_head(model: "LanguageModel") -> nn.Module:
    """The layer that turns hidden states into logits; raises `UserError` if there is none."""
    head = model.network.get_output_embeddings()
    if head is None:
        raise UserError(
            f"{type(model.network).__name__} has no output head; load a causal language model "
            "(AutoModelForCausalLM): unlearnbench list models"
        )
    return head


@contextmanager
def _head_reads_only(head: nn.Module, positions: Tensor) -> Iterator[None]:
    """Within, the head sees [1, N, d] of the chosen positions; what follows it stays in force."""

    def select(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (args[0][positions][None],)

    hook = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def reading_head_input(model: "LanguageModel") -> Iterator[list[Tensor]]:
    """Within, everything the output head reads is appended to the list that is yielded."""
    seen: list[Tensor] = []

    def keep(_head: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        seen.append(args[0].detach())

    hook = output_head(model).register_forward_hook(keep)
    try:
        with torch.no_grad():
            yield seen
    finally:
        hook.remove()
