"""Next-token scores at chosen positions: which tokens count, their logits, their losses.

The output head is most of a small batch's cost.  At GPT-2's vocabulary the logits of 8 rows of
200 tokens are 321 MB, and a loss makes several tensors of that size.  Here a loss sees the logits
of some positions at a time; for its gradient they are computed again, for which one more product
with the head's weight is paid.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.hooks import RemovableHandle

from unlearnbench.errors import UserError
from unlearnbench.models.network_state import acts_by_weights_alone
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol

Reduction = Literal["sum", "mean"]
_BYTES_AT_ONCE = 64 * 2**20  # float32 logits


def span_mask(sequences: "Sequences", protocol: "Protocol") -> Tensor:
    """[B, L] bool, the tokens a loss counts: `loss_span` and `pad_tokens` of the protocol.

    Neither BOS nor the first token of a row is ever predicted.
    """
    at = torch.arange(sequences.input_ids.shape[1])[None, :]
    counted = at < sequences.lengths[:, None]
    if protocol.pad_tokens == "count":
        counted = torch.ones_like(counted)
    if protocol.loss_span == "suffix":
        counted = counted & (at >= sequences.n_given[:, None])
    return counted & (at > sequences.n_bos)


def suffix_mask(sequences: "Sequences") -> Tensor:
    """[B, L] bool, the suffixes' own tokens, whatever the protocol counts."""
    at = torch.arange(sequences.input_ids.shape[1])[None, :]
    inside = (at >= sequences.n_given[:, None]) & (at < sequences.lengths[:, None])
    return inside & (at > sequences.n_bos)


def predictors_of(mask: Tensor) -> Tensor:
    """[B, L] bool, the positions whose output predicts the masked tokens: one to the left."""
    predictors = torch.zeros_like(mask)
    predictors[:, :-1] = mask[:, 1:]
    return predictors


def widened(values: Tensor) -> Tensor:
    """The same numbers in float32 at least: no loss is computed in a model's 16 bits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def token_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """[N] nats: -log P(label) from `logits` [N, V], in float32 whatever the model's precision."""
    return F.cross_entropy(widened(logits), labels, reduction="none")


def reduce_tokens(
    values: Tensor, n_rows: int, reduction: Reduction, n_tokens: float | None = None
) -> Tensor:
    """One number from `values` [N] of all counted tokens: their sum per row, or their mean.

    `n_tokens`, where the values are part of a batch, is what their sum is divided by for 'mean'.
    """
    if reduction == "mean" and n_tokens is not None:
        return values.sum() / n_tokens
    return values.sum() / max(n_rows if reduction == "sum" else len(values), 1)


def sum_rows(values: Tensor, counts: Sequence[int]) -> Tensor:
    """[B] the sum over each row's tokens; `values` [N] come row after row, `counts` sum to N."""
    # Not index_add: it is not reproducible on a GPU.
    return torch.stack([row.sum() for row in values.split(list(counts))])


class HeadOutputs:
    """[N, V] next-token logits, known by what the head makes them of."""

    def __init__(self, inputs: Tensor, head: Callable[[Tensor], Tensor], n_at_once: int) -> None:
        self.inputs = inputs  # [N, d]
        self.head = head
        self._n_at_once = n_at_once

    @classmethod
    def of(cls, inputs: Tensor, head: Any, vocabulary: int) -> "HeadOutputs":
        """What `head` makes of `inputs` [N, d], in pieces of at most 64 MiB."""
        return cls(inputs, head, max(1, _BYTES_AT_ONCE // (4 * vocabulary)))

    @classmethod
    def whole(cls, logits: Tensor) -> "HeadOutputs":
        """Logits [N, V] that are there already."""
        return cls(logits, lambda made: made, max(1, len(logits)))

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def logits(self) -> Tensor:
        """[N, V], whole in memory."""
        return self.head(self.inputs)

    def select(self, positions: Tensor) -> "HeadOutputs":
        """Those of the positions where `positions` [N] bool is true."""
        return HeadOutputs(self.inputs[positions], self.head, self._n_at_once)

    def split(self, sizes: Sequence[int]) -> "tuple[HeadOutputs, ...]":
        """Consecutive parts of these sizes, which add up to N."""
        parts = self.inputs.split(list(sizes))
        return tuple(HeadOutputs(part, self.head, self._n_at_once) for part in parts)

    def values(self, function: Callable[..., Tensor], *aligned: "Tensor | HeadOutputs") -> Tensor:
        """[..., N] of `function(logits [n, V], *aligned [n, ...])`, position by position.

        What is aligned has one entry per position; other outputs are handed on as logits.
        """
        if len(self) <= self._n_at_once or "logits" in vars(self):
            return function(self.logits, *(_whole(each) for each in aligned))
        every = [self, *(_outputs(each) for each in aligned)]

        def of_piece(*inputs: Tensor) -> Tensor:
            return function(*(of.head(piece) for of, piece in zip(every, inputs, strict=True)))

        pieces = zip(*(of.inputs.split(self._n_at_once) for of in every), strict=True)
        return torch.cat([_recomputed(of_piece, piece) for piece in pieces], dim=-1)


def _outputs(aligned: "Tensor | HeadOutputs") -> HeadOutputs:
    return aligned if isinstance(aligned, HeadOutputs) else HeadOutputs.whole(aligned)


def _whole(aligned: "Tensor | HeadOutputs") -> Tensor:
    return aligned.logits if isinstance(aligned, HeadOutputs) else aligned


def _recomputed(function: Callable[..., Tensor], piece: tuple[Tensor, ...]) -> Tensor:
    """The function's values, of which only the arguments are kept for the backward pass."""
    if not torch.is_grad_enabled():
        return function(*piece)
    # There is no dropout in a head, so there is no random state to bring back.
    values: Tensor = checkpoint(function, *piece, use_reentrant=False, preserve_rng_state=False)
    return values


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

    @property
    def labelled(self) -> HeadOutputs:
        """[N, V] of the counted tokens."""
        return self.outputs

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
    if network is not None or not can_score_in_pieces(model):
        return HeadOutputs.whole(position_logits(model, sequences, positions, network))
    return in_pieces(model, head_inputs(model, sequences, positions))


def can_score_in_pieces(model: "LanguageModel") -> bool:
    """Whether the head may be applied by itself: nothing else has a say in the logits."""
    return acts_by_weights_alone(model.network) and head_is_last(model)


def in_pieces(model: "LanguageModel", read: Tensor) -> HeadOutputs:
    """What the network's head makes of [N, d] of its inputs."""
    vocabulary = model.network.config.get_text_config().vocab_size
    return HeadOutputs.of(read, output_head(model), vocabulary)


def head_inputs(
    model: "LanguageModel",
    sequences: Sequences,
    positions: Tensor,
    network: Callable[..., Any] | None = None,
) -> Tensor:
    """[N, d] what the output head reads at the positions where `positions` [B, L] is true."""
    read: list[Tensor] = []

    def keep(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        read.append(args[0][positions.to(args[0].device)])
        return (args[0][:1, :1],)  # the network's own call of its head is made nothing of

    with _hooked(output_head(model).register_forward_pre_hook(keep)):
        _pass(network or model.network, sequences, model.device)
    return read[0]


def hidden_states(
    model: "LanguageModel",
    sequences: Sequences,
    tokens: Tensor,
    layer: int,
    network: Callable[..., Any] | None = None,
) -> Tensor:
    """[N, d] what a layer of the decoder gives at the tokens where `tokens` [B, L] is true."""
    read: list[Tensor] = []

    def keep(_layer: nn.Module, _args: Any, made: Any) -> None:
        states = made[0] if isinstance(made, tuple) else made
        read.append(states[tokens.to(states.device)])

    def nothing(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (args[0][:1, :1],)

    with (
        _hooked(decoder_layers(model)[layer].register_forward_hook(keep)),
        _hooked(output_head(model).register_forward_pre_hook(nothing)),
    ):
        _pass(network or model.network, sequences, model.device)
    return read[0]


def decoder_layers(model: "LanguageModel") -> nn.ModuleList:
    """The network's layers, in order; raises `UserError` if it does not name them as others do."""
    return layers_of(model.network)


def layers_of(network: Any) -> nn.ModuleList:
    """The layers of a network that may be no model's own, as `decoder_layers`."""
    n_layers = getattr(network.config.get_text_config(), "num_hidden_layers", None)
    lists = (m for m in network.get_decoder().modules() if isinstance(m, nn.ModuleList))
    layers = next((each for each in lists if len(each) == n_layers), None)
    if layers is None:
        raise UserError(
            f"the layers of {type(network).__name__} cannot be told apart; take a method that "
            "looks at no hidden states: unlearnbench list methods"
        )
    return layers


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


def head_function(model: "LanguageModel", head: nn.Module) -> Callable[[Tensor], Tensor]:
    """[N, d] -> [N, V]: the network's logits of its head's inputs, with `head` in its head's place.

    What scales or caps them is the network's own: one token goes through it, and `head`'s
    output takes the place of that token's.
    """
    if head_is_last(model):
        return head
    token = _probe(model.network.config.get_text_config())[:1].to(model.device)

    @torch.no_grad()
    def logits(inputs: Tensor) -> Tensor:
        replaced = output_head(model).register_forward_hook(lambda *_: head(inputs)[None])
        with _hooked(replaced), model.not_counted():
            made: Tensor = model.network(input_ids=token[None], use_cache=False).logits[0]
        return made

    return logits


def _has_last_word(network: Any, head: Any) -> bool:
    read: list[Tensor] = []
    probe = _probe(network.config.get_text_config()).to(network.device)
    with _hooked(head.register_forward_pre_hook(lambda _head, args: read.append(args[0]))):
        logits = network(input_ids=probe[None], use_cache=False).logits.float()
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
