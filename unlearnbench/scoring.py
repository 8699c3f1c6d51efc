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
from unlearnbench.head_outputs import HeadOutputs
from unlearnbench.losses import Reduction, predictors_of, reduce_tokens, sum_rows, token_nll
from unlearnbench.shared_costs import not_counted

if TYPE_CHECKING:
    from unlearnbench.model import LanguageModel
    from unlearnbench.sequences import Sequences


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
    sequences: "Sequences",
    mask: Tensor,
    network: Callable[..., Any] | None = None,
) -> TokenScores:
    """The scores of the tokens where `mask` [B, L] bool is true."""
    outputs = head_outputs(model, sequences, predictors_of(mask), network)
    return TokenScores(outputs, *labels_of(sequences, mask, model.device))


def labels_of(
    sequences: "Sequences", mask: Tensor, device: torch.device
) -> tuple[Tensor, tuple[int, ...]]:
    """[N] the tokens where `mask` is true and something stands before them; how many per row."""
    counted = mask.clone()
    counted[:, 0] = False  # nothing stands before it to predict it from
    return sequences.input_ids[counted].to(device), tuple(counted.sum(1).tolist())


def head_outputs(
    model: "LanguageModel",
    sequences: "Sequences",
    positions: Tensor,
    network: Callable[..., Any] | None = None,
) -> HeadOutputs:
    """The network's output at the positions where `positions` [B, L] bool is true.

    One pass through its body; the head is applied where and when a loss looks.  `network` is
    what is called, if it is not the model's own: such a wrapper calls the head itself.
    """
    if network is not None or not head_is_last(model):
        return HeadOutputs.whole(position_logits(model, sequences, positions, network))
    head, read = output_head(model), list[Tensor]()

    def keep(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        read.append(args[0][positions.to(args[0].device)])
        return (args[0][:1, :1],)  # the network's own call of its head is made nothing of

    with _hooked(head.register_forward_pre_hook(keep)):
        _pass(model.network, sequences, model.device)
    return HeadOutputs.of(read[0], head, model.network.config.get_text_config().vocab_size)


def head_is_last(model: "LanguageModel") -> bool:
    """Whether the network's logits are its head's output, neither scaled nor capped."""
    network = model.network
    if network not in _heads_are_last:
        with not_counted(model), torch.no_grad():
            _heads_are_last[network] = _has_last_word(network, output_head(model))
    return _heads_are_last[network]


def _has_last_word(network: Any, head: nn.Module) -> bool:
    read: list[Tensor] = []
    with _hooked(head.register_forward_pre_hook(lambda _head, args: read.append(args[0]))):
        logits = network(
            input_ids=torch.zeros(1, 2, dtype=torch.long, device=network.device)
        ).logits
    return len(read) == 1 and torch.allclose(head(read[0]), logits, rtol=1e-4, atol=1e-4)


def _pass(network: Callable[..., Any], sequences: "Sequences", device: torch.device) -> Any:
    return network(
        input_ids=sequences.input_ids.to(device),
        attention_mask=sequences.attention_mask.to(device),
        use_cache=False,
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
    at = positions.to(model.device)

    def select(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (args[0][at][None],)  # [1, N, d]; what follows the head stays in force

    with _hooked(output_head(model).register_forward_pre_hook(select)):
        logits: Tensor = _pass(network or model.network, sequences, model.device).logits[0]
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
def _hooked(hook: RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        hook.remove()
