"""Two networks decoded as one (WHP): a second one's scores pull down what it likes better.

The network that everything measures stays the base model's.  Its decoder is hooked: the reinforced
network's decoder reads the same tokens, and its hidden states are put beside the base's,
[B, L, d] -> [B, L, 2d].  Its output head takes such a double row apart, applies each network's own
head and combines the logits.  So whatever picks positions before the head (models/scoring.py) and
whatever calls the whole network, the library's `generate` included, sees the pair's logits.

Both decoders keep their keys and values in one cache, the reinforced one's layers behind the
base's.  It reads first, while the cache's first layer, by which both tell where they stand, is
still as it was.  Tokens that go through the pair are counted once for each of the two decoders.
"""

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import torch
from torch import Tensor, nn

from unlearnbench.errors import UserError
from unlearnbench.models.configuration import save_tokenizer
from unlearnbench.models.generation.behaviour import forget_behaviour
from unlearnbench.models.scoring import head_is_last, output_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from unlearnbench.models.language_model import LanguageModel

FILE_NAME = "pair.json"  # of a saved pair: how its two folders are combined
_BASE, _REINFORCED = "base", "reinforced"  # its folders


def suppressed_logits(base: Tensor, reinforced: Tensor, alpha: float) -> Tensor:
    """[..., V] v_base - alpha ReLU(v_reinforced - v_base): what the reinforced model likes better
    than the base is pulled down, all else is left (Eldan and Russinovich 2023)."""
    return base - alpha * torch.relu(reinforced - base)


class Pair:
    """A base network that answers as the pair of itself and a reinforced one.

    The reinforced network is no part of the base's modules: it is in no state dict of it, and
    follows it to no other device.  A deep copy of the base network copies both.
    """

    def __init__(self, model: "LanguageModel", reinforced: "PreTrainedModel", alpha: float) -> None:
        self.base, self.reinforced, self.alpha = model.network, reinforced, alpha
        # Weak, so that a copy of the network does not copy the model, its tokenizer and its meter.
        self._model = weakref.ref(model)
        self._heads = output_head(model), reinforced.get_output_embeddings()

    @classmethod
    def of(cls, network: Any) -> Optional["Pair"]:
        """The pair that a network answers as; None for an ordinary one."""
        forward = vars(network.get_output_embeddings() or network).get("forward")
        owner = getattr(forward, "__self__", None)
        return owner if isinstance(owner, cls) else None

    def install(self) -> None:
        """From now on the base network is the pair to whoever calls it."""
        decoder: nn.Module = self.base.get_decoder()
        decoder.register_forward_pre_hook(self.ahead, with_kwargs=True)
        decoder.register_forward_hook(self.beside)
        self._heads[0].forward = self.combined
        self.has_cache = self._puts_its_layers_behind()
        forget_behaviour(self.base)

    @torch.no_grad()
    def _puts_its_layers_behind(self) -> bool:
        """Whether the reinforced network can keep its keys and values behind the base's layers.

        Some networks' outputs depend on a layer's number; theirs are left as they are.
        """
        n_layers = self.base.config.get_text_config().num_hidden_layers
        probe = torch.arange(3, device=self.base.device)[None]
        before = self.reinforced(input_ids=probe, use_cache=False).logits
        _shift_layers(self.reinforced, n_layers)
        if torch.equal(self.reinforced(input_ids=probe, use_cache=False).logits, before):
            return True
        _shift_layers(self.reinforced, -n_layers)
        return False

    def ahead(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The reinforced decoder reads what the base decoder is about to read.

        Raises `RuntimeError` for what it cannot read as well.
        """
        has_cache = kwargs.get("past_key_values") is not None
        if kwargs.get("inputs_embeds") is not None or (has_cache and not self.has_cache):
            raise RuntimeError("this pair of networks reads token ids, and keeps nothing of them")
        tokens = kwargs.get("input_ids", args[0] if args else None)
        if (model := self._model()) is not None and tokens is not None:
            model.meter.count_forward(tokens.numel())
        read = self.reinforced.get_decoder()(*args, **{**kwargs, "use_cache": has_cache})
        self._ahead: Tensor | None = read[0]

    def beside(self, _: nn.Module, _args: tuple[Any, ...], own: Any) -> Any:
        """The base decoder's output with the reinforced one's hidden states beside its own."""
        assert self._ahead is not None
        hidden, self._ahead = torch.cat([own[0], self._ahead], dim=-1), None
        if isinstance(own, tuple):
            return (hidden, *own[1:])
        own.last_hidden_state = hidden
        return own

    def combined(self, hidden: Tensor) -> Tensor:
        """[..., 2d] -> [..., V] in place of the base head's own forward."""
        base, other = hidden.chunk(2, dim=-1)
        own_head, other_head = self._heads
        # Its class's forward: the instance's is this very method.
        return suppressed_logits(type(own_head).forward(own_head, base), other_head(other),
                                 self.alpha)  # fmt: skip

    def save(self, folder: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Both networks whole, each in a folder of its own, and how they are combined.

        The base is not put in `folder` itself: what loads that would measure the model before
        unlearning and call it the unlearned one.
        """
        for name, network in ((_BASE, self.base), (_REINFORCED, self.reinforced)):
            network.save_pretrained(folder / name)
            save_tokenizer(tokenizer, folder / name)
        how = {
            "logits": "base - alpha * relu(reinforced - base)",
            "alpha": self.alpha,
            "base": _BASE,
            "reinforced": _REINFORCED,
        }
        (folder / FILE_NAME).write_text(json.dumps(how, indent=2) + "\n")


def networks_of(model: "LanguageModel") -> tuple[Any, ...]:
    """The model's network; of a pair that is decoded as one (WHP) both."""
    pair = Pair.of(model.network)
    return (model.network,) if pair is None else (pair.base, pair.reinforced)


def load_pair(folder: Path, load: "Callable[[Path], LanguageModel]") -> "LanguageModel | None":
    """The pair that `Pair.save` wrote into a folder; None where the folder holds none."""
    if not (folder / FILE_NAME).is_file():
        return None
    how = json.loads((folder / FILE_NAME).read_text())
    model = load(folder / how["base"])
    decode_as_pair(model, load(folder / how["reinforced"]), how["alpha"])
    return model


def _shift_layers(network: "PreTrainedModel", n_layers: int) -> None:
    """Have a network keep its keys and values behind those of `n_layers` other layers."""
    for module in network.modules():
        for name in ("layer_idx", "layer_id"):  # as attention calls its place; GPT-Neo the latter
            if isinstance(place := getattr(module, name, None), int):
                setattr(module, name, place + n_layers)


def decode_as_pair(model: "LanguageModel", reinforced: "LanguageModel", alpha: float) -> None:
    """Make the model answer as the pair of its network and the reinforced one's.

    What goes through either is counted by `model` from now on.
    Raises `UserError` where the model's logits do not follow from its decoder's output alone.
    """
    check_pairable(model)
    reinforced.stop_counting()
    reinforced.network.requires_grad_(False).eval()
    Pair(model, reinforced.network, alpha).install()


@torch.no_grad()
def check_pairable(model: "LanguageModel") -> None:
    """Raises `UserError` for a network whose head does not read its decoder's output, or whose
    logits are not what its head makes of it."""
    made: list[Tensor] = []
    read: list[Tensor] = []
    decoder, head = model.network.get_decoder(), output_head(model)
    hooks = [
        decoder.register_forward_hook(lambda _module, _args, output: made.append(output[0])),
        head.register_forward_pre_hook(lambda _module, args: read.append(args[0])),
    ]
    try:
        with model.not_counted():
            probe = torch.arange(3, device=model.device)[None]
            model.network(input_ids=probe, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    reads_it = len(made) == len(read) == 1 and made[0].equal(read[0])
    if not reads_it or not head_is_last(model) or Pair.of(model.network) is not None:
        raise UserError(
            f"{type(model.network).__name__} cannot be decoded as one of a pair: its logits are "
            "not what its output head makes of its decoder's output; take a method that changes "
            "weights: --methods task_vector"
        )
