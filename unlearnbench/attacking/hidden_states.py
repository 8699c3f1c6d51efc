"""What a decoder's layers give at chosen positions: read, replaced, and turned into logits.

All of it is done by hooks on the layers, whatever the architecture calls its parts.  A layer's
output is the residual stream behind it; layers are counted from 0.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from unlearnbench.errors import UserError
from unlearnbench.models.scoring import decoder_layers, output_head
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

#: Where in a layer its states are read: behind it, behind its attention or feed-forward part, each
#: alone as it is added to the residual stream, or between the two.
Place = Literal["residual", "attention", "mlp", "mid"]
#: Of the deepest open network (Llama 3.1 405B): a bound where no network is at hand.
MOST_LAYERS = 126
_BYTES_AT_ONCE = 64 * 2**20  # float32 logits
_ATTENTION = ("attn", "attention")
_MLP = ("mlp", "feed_forward", "ffn", "moe", "fc2")  # OPT's block ends with fc2


def readable_layers(model: "LanguageModel") -> nn.ModuleList:
    """The decoder's layers, in order; raises `UserError` for a network that hides them."""
    try:
        return decoder_layers(model)
    except UserError as error:
        raise UserError(
            f"the layers of {type(model.network).__name__} cannot be told apart, so nothing can be "
            "read from them; leave the attack out of --attacks"
        ) from error


def part_of(layer: nn.Module, place: Literal["attention", "mlp"]) -> nn.Module:
    """A layer's attention or feed-forward part; raises `UserError` where none has such a name."""
    wanted = _ATTENTION if place == "attention" else _MLP
    for name, child in layer.named_children():
        if "norm" not in name and any(word in name for word in wanted):
            return child
    raise UserError(
        f"{type(layer).__name__} has no part that is called its {place}; take the residual stream: "
        "--set logit-lens.place=residual"
    )


def check_place(model: "LanguageModel", place: Place) -> None:
    """Raise `UserError` for a network of which nothing can be read there; its weights are not."""
    layers = readable_layers(model)
    if place != "residual":
        part_of(layers[0], "mlp" if place == "mlp" else "attention")


@torch.no_grad()
def check_readable(model: "LanguageModel") -> None:
    """Raise `UserError` unless logits are made of what the last layer gives, and of that alone.

    So they are in most networks; in others several streams go from layer to layer.
    """
    vocabulary = model.network.config.get_text_config().vocab_size
    ids = torch.linspace(0, vocabulary - 1, 8).long()[None]
    probe = Sequences(ids, torch.tensor([8]), torch.tensor([1]), ("",))
    try:
        with model.not_counted():
            states = layer_states(model, probe, ids >= 0)[-1]
            logits = model.logits(ids.to(model.device), probe.attention_mask.to(model.device))[0]
        made = torch.cat(list(unembedded(model, states)))
        # 16 bits: the same product of other shapes is rounded otherwise.
        tolerance = 1e-3 if logits.dtype == torch.float32 else 5e-2
        is_same = torch.allclose(made.float(), logits.float(), rtol=tolerance, atol=tolerance)
    except (RuntimeError, IndexError, AttributeError):
        is_same = False
    if not is_same:
        raise UserError(
            f"the logits of {type(model.network).__name__} are not simply made of its last layer's "
            "states, so no layer can be read or replaced; leave the attack out of --attacks"
        )


# ---- reading


def layer_states(
    model: "LanguageModel", rows: Sequences, positions: Tensor, place: Place = "residual"
) -> list[Tensor]:
    """Of each layer [N, d], at the positions where `positions` [B, L] bool is true.

    One pass through the body; no logits are made.
    """
    layers = readable_layers(model)
    with ExitStack() as hooks:
        read = [hooks.enter_context(states_read(layer, positions, place)) for layer in layers]
        hooks.enter_context(head_idle(model))
        run_through(model, rows)
    return [sum(parts[1:], parts[0]) for parts in read]


@contextmanager
def states_read(layer: nn.Module, at: Tensor, place: Place = "residual") -> Iterator[list[Tensor]]:
    """Within, what is read of a layer in a pass [N, d], where `at` [B, L] bool is true.

    Of the place 'mid' in two parts, to be added up.
    """
    read: list[Tensor] = []

    def keep(_part: nn.Module, _args: Any, made: Any) -> None:
        # OPT's feed-forward part reads all rows as one.
        states = states_in(made).reshape(*at.shape, -1)
        read.append(states[at.to(states.device)])

    def keep_input(_layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        states = args[0] if args else named["hidden_states"]
        read.append(states[at.to(states.device)])

    with ExitStack() as hooks:
        if place == "mid":
            hook = layer.register_forward_pre_hook(keep_input, with_kwargs=True)
            hooks.enter_context(_hooked(hook))
        part = layer
        if place != "residual":
            part = part_of(layer, "mlp" if place == "mlp" else "attention")
        hooks.enter_context(_hooked(part.register_forward_hook(keep)))
        yield read


# ---- replacing


@contextmanager
def replaced(layer: nn.Module, at: Tensor, states: Tensor) -> Iterator[None]:
    """Within, a layer gives `states` [N, d] where `at` [B, L] bool is true."""

    def put(_layer: nn.Module, _args: Any, made: Any) -> Any:
        patched = states_in(made).clone()
        patched[at] = states.to(patched)
        return with_states(made, patched)

    with _hooked(layer.register_forward_hook(put)):
        yield


# ---- what the network's end makes of states


def unembedded(model: "LanguageModel", states: Tensor) -> Iterator[Tensor]:
    """[n, V] logits of [N, d] as if the last layer had given them, a piece after the other.

    Final norm, projection, head, and whatever scales or caps logits are the network's own: one
    token goes through it, and the states take the place of what its last layer makes of that.
    """
    vocabulary = model.network.config.get_text_config().vocab_size
    for piece in states.split(max(1, _BYTES_AT_ONCE // (4 * vocabulary))):
        logits = _behind_last_layer(model, piece).logits
        yield logits.reshape(-1, logits.shape[-1])


def head_inputs_of(model: "LanguageModel", states: Tensor) -> Tensor:
    """[N, h] what the output head reads if the last layer gives [N, d]."""
    read: list[Tensor] = []

    def keep(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        read.append(args[0].reshape(-1, args[0].shape[-1]))
        return _first_alone(_head, args)

    with _hooked(output_head(model).register_forward_pre_hook(keep)):
        _behind_last_layer(model, states)
    return read[0]


def _behind_last_layer(model: "LanguageModel", states: Tensor) -> Any:
    def put(_layer: nn.Module, _args: Any, made: Any) -> Any:
        return with_states(made, states.to(states_in(made))[None])

    token = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    with _hooked(readable_layers(model)[-1].register_forward_hook(put)), model.not_counted():
        return model.network(input_ids=token, use_cache=False)


def states_in(made: Any) -> Tensor:
    """The states among what a layer gives."""
    states: Tensor = made[0] if isinstance(made, tuple) else made
    return states


def with_states(made: Any, states: Tensor) -> Any:
    """What a layer gives, with other states in it."""
    return (states, *made[1:]) if isinstance(made, tuple) else states


@contextmanager
def head_idle(model: "LanguageModel") -> Iterator[None]:
    """Within, the output head is given one token, as nobody looks at what it makes of it."""
    with _hooked(output_head(model).register_forward_pre_hook(_first_alone)):
        yield


def _first_alone(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (args[0][:1, :1],)  # the network's own call of its head is made nothing of


def run_through(model: "LanguageModel", rows: Sequences) -> None:
    """A pass of the network over the rows, whose output nobody looks at."""
    model.network(
        input_ids=rows.input_ids.to(model.device),
        attention_mask=rows.attention_mask.to(model.device),
        use_cache=False,
    )


@contextmanager
def _hooked(hook: Any) -> Iterator[None]:
    try:
        yield
    finally:
        hook.remove()
