"""Next-token scores at chosen positions: the output head is most of a small batch's cost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from unlearnbench.errors import UserError
from unlearnbench.models.head_outputs import HeadOutputs
from unlearnbench.models.network_state import acts_by_weights_alone
from unlearnbench.models.sequences import Sequences
from unlearnbench.models.token_losses import (
    Reduction,
    predictors_of,
    reduce_tokens,
    sum_rows,
    token_nll,
)

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

    from unlearnbench.models.language_model import LanguageModel


@dataclass(frozen=True)
class TokenScores:
    """Scores of the counted tokens of a batch, row after row."""

    outputs: HeadOutputs  # N positions
    labels: Tensor  # [N] int64
    counts: tuple[int, ...]  # counted tokens of each row; they sum to N

    @property
    def logits(self) -> Tensor:
        """[N, V], whole in memory."""
        return self.outputs.logits

    @cached_property
    def token_nll(self) -> Tensor:
        """[N] nats."""
        return self.outputs.values(token_nll, self.labels)

    @cached_property
    def nll_per_row(self) -> Tensor:
        """[B] nats, summed over each row's counted tokens."""
        return sum_rows(self.token_nll, self.counts)

    def nll(self, reduction: Reduction, n_tokens: float | None = None) -> Tensor:
        """The batch's negative log-likelihood in nats; `n_tokens` as `reduce_tokens` takes it."""
        return reduce_tokens(self.token_nll, len(self.counts), reduction, n_tokens)


# Whether a network's head has the last word; the probe is the same for all its passes.
_heads_are_last: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()


def score_tokens(
    model: "LanguageModel",
    sequences: Sequences,
    mask: Tensor,
    network: Callable[..., Any] | None = None,
) -> TokenScores:
    """The scores of the tokens where `mask` [B, L] bool is true."""
    outputs = head_outputs(model, sequences, predictors_of(mask), network)
    return TokenScores(outputs, *labels_of(sequences, mask, model.device))


def labels_of(
    sequences: Sequences, mask: Tensor, device: torch.device
) -> tuple[Tensor, tuple[int, ...]]:
    """[N] the tokens where `mask` is true and something stands before them; how many per row."""
    counted = mask.clone()
    counted[:, 0] = False  # nothing stands before it to predict it from
    return sequences.input_ids[counted].to(device), tuple(counted.sum(1).tolist())


def head_outputs(
    model: "LanguageModel",
    sequences: Sequences,
    positions: Tensor,
    network: Callable[..., Any] | None = None,
) -> HeadOutputs:
    """The network's output at the positions where `positions` [B, L] bool is true.

    One pass through its body; the head is applied where and when a loss looks.  `network` is
    what is called, if it is not the model's own: such a wrapper calls the head itself.
    """
    # What a method has hooked in may act on the logits of some texts and not of others.
    if network is not None or not acts_by_weights_alone(model.network) or not head_is_last(model):
        return HeadOutputs.whole(position_logits(model, sequences, positions, network))
    vocabulary = model.network.config.get_text_config().vocab_size
    read = head_inputs(model, sequences, positions)
    return HeadOutputs.of(read, output_head(model), vocabulary)


def head_inputs(model: "LanguageModel", sequences: Sequences, positions: Tensor) -> Tensor:
    """[N, d] what the output head reads at the positions where `positions` [B, L] is true."""
    read: list[Tensor] = []

    def keep(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        read.append(args[0][positions.to(args[0].device)])
        return (args[0][:1, :1],)  # the network's own call of its head is made nothing of

    with _hooked(output_head(model).register_forward_pre_hook(keep)):
        _pass(model.network, sequences, model.device)
    return read[0]


def head_is_last(model: "LanguageModel") -> bool:
    """Whether the network's logits are its head's output, neither scaled nor capped."""
    network = model.network
    if network in _heads_are_last and acts_by_weights_alone(network):
        return _heads_are_last[network]
    with model.not_counted(), torch.no_grad():
        is_last = _has_last_word(network, output_head(model))
    if acts_by_weights_alone(network):
        _heads_are_last[network] = is_last
    return is_last


def _has_last_word(network: Any, head: Any) -> bool:
    read: list[Tensor] = []
    probe = _probe(network.config.get_text_config()).to(network.device)
    with _hooked(head.register_forward_pre_hook(lambda _head, args: read.append(args[0]))):
        logits = network(input_ids=probe[None]).logits.float()
    if len(read) != 1:
        return False
    # Capping moves small logits little; the same product twice differs by less in any precision.
    tolerance = 1e-5 if head.weight.dtype == torch.float32 else 1e-3
    return torch.allclose(head(read[0]).float(), logits, rtol=tolerance, atol=tolerance)


def _probe(config: Any) -> Tensor:
    """[L] tokens from all over the vocabulary, as few as any network reads."""
    length = min(32, getattr(config, "max_position_embeddings", 32))
    return torch.linspace(0, config.vocab_size - 1, length).long()


def _pass(network: Callable[..., Any], sequences: Sequences, device: torch.device) -> Any:
    return network(
        input_ids=sequences.input_ids.to(device),
        attention_mask=sequences.attention_mask.to(device),
        use_cache=False,
    )


def position_logits(
    model: "LanguageModel",
    sequences: Sequences,
    positions: Tensor,
    network: Callable[..., Any] | None = None,
) -> Tensor:
    """[N, V] the network's output at the positions where `positions` [B, L] bool is true.

    `network` is what is called, if it is not the model's own: a wrapper that
    synchronises gradients between processes.
    """
    at = positions.to(model.device)

    def select(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (args[0][at][None],)  # [1, N, d]; what follows the head stays in force

    with _hooked(output_head(model).register_forward_pre_hook(select)):
        logits: Tensor = _pass(network or model.network, sequences, model.device).logits[0]
    return logits


def cached_pass(
    model: "LanguageModel", input_ids: Tensor, positions: Tensor, cache: "Cache | None"
) -> Tensor:
    """[N, V] next-token scores at the positions where `positions` [B, L] bool is true.

    `input_ids` [B, L] go behind what the cache holds, and into it.  Rows are padded on the
    right: nothing that a causal model reads stands there, so it needs no mask.
    """

    def network(input_ids: Tensor, **_: Any) -> Any:
        return model.network(
            input_ids=input_ids, past_key_values=cache, use_cache=cache is not None
        )

    n_rows, width = input_ids.shape
    whole = torch.full((n_rows,), width)
    sequences = Sequences(input_ids, whole, whole, ("",) * n_rows)
    return position_logits(model, sequences, positions, network)


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
def _hooked(hook: RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        hook.remove()
