"""A causal language model with its tokenizer, and where it came from."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.models.devices import ranks
from unlearnbench.models.devices.meter import Meter
from unlearnbench.models.devices.strategy import Strategy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from unlearnbench.models.adapter_folder import MergedAdapter


@dataclass(frozen=True)
class ModelSource:
    """Where weights came from: what a result needs to say which model it measured."""

    name: str  # what the user asked for: an alias, a hub id or a path
    location: str  # the hub id, or the folder's own name (never a full path)
    revision: str | None  # the resolved commit; None where nobody could look it up
    weights_sha256: str  # over the weight, config and tokenizer files: equal ones, equal models
    is_synthetic: bool = False  # trained on a synthetic world: no claim about real models


@dataclass
class LanguageModel:
    """A Hugging Face causal language model, in memory, with its tokenizer.

    Every forward pass through the network is counted by `meter`.
    """

    network: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    source: ModelSource
    meter: Meter = field(default_factory=Meter)
    strategy: Strategy = field(default_factory=Strategy)  # how it is trained
    merged_adapter: "MergedAdapter | None" = None  # if it was read from an adapter's folder
    # What is kept beside a saved network, each by a name and what writes it into a new folder.
    saved_beside: dict[str, Callable[[Path], None]] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )
    # What is kept in place of the network, whose base is quantised: an adapter, into a new folder.
    saved_instead: Callable[[Path], None] | None = field(
        init=False, default=None, repr=False, compare=False
    )
    # The options that it was loaded by; `unlearnbench.api` alone writes and reads them.
    choice: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.network.eval()
        self._counting = self._counted()

    def copied(self) -> "LanguageModel":
        """A second network with the same weights; what goes through it counts here too."""
        self._counting.remove()  # else the copy would count into a copy of this model
        try:
            network = copy.deepcopy(self.network)
        finally:
            self._counting = self._counted()
        return replace(self, network=network)

    @property
    def device(self) -> "torch.device":
        """Where the parameters are."""
        return self.network.device

    @property
    def n_parameters(self) -> int:
        """Number of parameters, tied ones once."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def eos_token_id(self) -> int | None:
        """The token at which a continuation ends; None if the model has none."""
        return self.tokenizer.eos_token_id

    @property
    def pad_token_id(self) -> int:
        """The padding token: the tokenizer's if the model has it, else end of sequence, else 0."""
        for candidate in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if candidate is not None and candidate < self.network.config.vocab_size:
                return int(candidate)
        return 0

    @cached_property
    def bos_token_id_to_prepend(self) -> int | None:
        """The token every sequence of this model starts with (Llama, OPT); None if none does."""
        from unlearnbench.models.vocabulary import bos_token_id_to_prepend

        return bos_token_id_to_prepend(self.tokenizer, self.network.config)

    @property
    def max_length(self) -> int:
        """The longest sequence the network takes, in tokens.

        LongRoPE's frequencies depend on the longest text of a pass where one is longer than the
        network was first trained on, so no text is.
        """
        config = self.network.config.get_text_config()
        rope = getattr(config, "rope_parameters", None) or {}
        if rope.get("rope_type") == "longrope":
            return int(rope["original_max_position_embeddings"])
        return int(getattr(config, "max_position_embeddings", 1 << 30))

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, special tokens and spaces as they are."""
        text = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return str(text)

    def logits(self, input_ids: "Tensor", attention_mask: "Tensor") -> "Tensor":
        """[B, L, V] next-token scores; position t scores the token at t + 1."""
        return self.network(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).logits

    @contextmanager
    def training(self) -> Iterator[None]:
        """Gradients on, dropout still off: the paper trains without it."""
        # eval() is kept: it is what switches every dropout off, whatever the architecture.
        for parameter in self.network.parameters():
            parameter.requires_grad_(parameter.is_floating_point())  # packed weights cannot be
        try:
            yield
        finally:
            self.network.zero_grad(set_to_none=True)
            self.network.eval()

    def counted_once(self) -> AbstractContextManager[None]:
        """Within, what every process computes for itself is counted in the first one only."""
        return nullcontext() if ranks.rank() == 0 else self.not_counted()

    def stop_counting(self) -> None:
        """From now on somebody else counts what goes through this network."""
        self._counting.remove()

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """Within, forward passes are no cost of the cell."""
        meter, self.meter = self.meter, Meter()
        try:
            yield
        finally:
            self.meter = meter

    def _counted(self) -> "RemovableHandle":
        # The body is hooked, not the whole network: a loss may call body and head on their own.
        # Its decoder, because OPT's network calls that past its base model.
        decoder = self.network.get_decoder()
        return decoder.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tokens = kwargs.get("input_ids", args[0] if args else None)
        if tokens is None:
            tokens = kwargs["inputs_embeds"][..., 0]
        self.meter.count_forward(tokens.numel())
