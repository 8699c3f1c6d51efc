"""What our short cuts take for granted of a network, looked at on a handful of tokens."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from unlearnbench.errors import UserError
from unlearnbench.models.generation.plain import step_logits

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

_LENGTH, _PREFIX = 12, 8  # tokens of a row that is looked at, and of its beginning


@dataclass(frozen=True)
class Behaviour:
    """Which short cuts give a network's own values; the plain way is taken for the others."""

    keeps_columns: bool  # its cache is keys and values per token, and gives what a plain pass does
    generates_with_cache: bool  # the library's generate gives the same with its cache as without


_behaviours: "WeakKeyDictionary[Any, Behaviour]" = WeakKeyDictionary()


def behaviour_of(model: "LanguageModel") -> Behaviour:
    """How a model's network behaves, seen once in some passes of a dozen tokens.

    Raises `UserError` for one whose outputs do not stand at its inputs' positions, that looks at
    later tokens, or that gives the same tokens other values each time or beside other texts.
    """
    if model.network not in _behaviours:
        with model.not_counted(), torch.inference_mode():
            _behaviours[model.network] = _Probe(model).behaviour()
    return _behaviours[model.network]


def forget_behaviour(network: Any) -> None:
    """Look at a network anew when it is next asked for: what was seen of it is no longer true."""
    _behaviours.pop(network, None)


class _Probe:
    def __init__(self, model: "LanguageModel") -> None:
        self.model, self.network = model, model.network
        length = min(_LENGTH, model.max_length)
        self.prefix = min(_PREFIX, length - 1)
        size = model.network.config.get_text_config().vocab_size
        tokens = torch.linspace(0, size - 1, 2 * length + 2).long()[1:-1]
        self.rows = tokens.reshape(length, 2).T.contiguous().to(model.device)

    def behaviour(self) -> Behaviour:
        first = self.logits(self.rows[:1])
        self.check(first)
        return Behaviour(
            keeps_columns=keeps_keys_and_values(self.network) and self.is_continued(first),
            generates_with_cache=self.generates_alike(),
        )

    def check(self, first: Tensor) -> None:
        name = f"{self.model.source.name} ({type(self.network).__name__})"
        if first.shape[1] != self.rows.shape[1]:
            raise UserError(
                f"{name} gives {first.shape[1]} positions for {self.rows.shape[1]} tokens, so "
                "its outputs cannot be told apart by token; use another model"
            )
        if not self.alike(self.logits(self.rows[:1]), first):
            raise UserError(
                f"{name} gives other values for the same tokens each time, in eval mode; "
                "measurements of it mean nothing; use another model"
            )
        changed = self.rows[:1].clone()
        changed[:, self.prefix :] = self.rows[1:, self.prefix :]
        if not self.alike(self.logits(changed)[:, : self.prefix], first[:, : self.prefix]):
            raise UserError(
                f"{name} is no causal language model: a later token changes what it says of "
                "earlier ones; use one that reads from left to right"
            )
        # In 16 bits a mixture's choice of experts may differ by what stands beside a row.
        if self.network.dtype == torch.float32 and not self.is_alone(first):
            raise UserError(
                f"{name} gives a text other values beside other texts than alone, so what it is "
                "measured to know would depend on the batch; use another model"
            )

    def is_continued(self, first: Tensor) -> bool:
        """Whether tokens behind a cache give what they give in one pass."""
        kept = {"past_key_values": DynamicCache(), "use_cache": True}
        try:
            self.logits(self.rows[:1, : self.prefix], **kept)
            behind = self.logits(self.rows[:1, self.prefix : self.prefix + 1], **kept)
        except (ValueError, TypeError, AttributeError, LookupError, RuntimeError):
            return False
        return self.alike(behind, first[:, self.prefix : self.prefix + 1])

    def is_alone(self, first: Tensor) -> bool:
        """Whether a row gives the same beside a longer one as without, and so does that one."""
        mask = torch.ones_like(self.rows)
        mask[0, self.prefix :] = 0
        padded = self.rows.masked_fill(mask == 0, self.model.pad_token_id)
        together = self.logits(padded, attention_mask=mask)
        beginning, second = self.logits(self.rows[:1, : self.prefix]), self.logits(self.rows[1:])
        return (
            self.alike(together[:1, : self.prefix], first[:, : self.prefix])
            and self.alike(beginning, first[:, : self.prefix])
            and self.alike(together[1:], second)
        )

    def generates_alike(self) -> bool:
        """Whether the library's generate goes by the same scores with its cache as without."""
        prompt = self.rows[:, : self.prefix]
        plain = step_logits(self.model, prompt, 4, use_cache=False)
        try:
            return self.alike(step_logits(self.model, prompt, 4, use_cache=True), plain)
        except (ValueError, TypeError, AttributeError, LookupError, RuntimeError):
            return False

    def logits(self, input_ids: Tensor, **more: Any) -> Tensor:
        more.setdefault("use_cache", False)
        made: Tensor = self.network(input_ids=input_ids, **more).logits
        return made.float()

    def alike(self, one: Tensor, other: Tensor) -> bool:
        """Equal but for rounding, by the spread of the scores over the vocabulary."""
        if one.shape != other.shape:
            return False
        share = 1e-3 if self.network.dtype == torch.float32 else 0.1
        differ = (one - other).abs() > share * other.std(-1, keepdim=True)
        return not bool(differ.any())


def keeps_keys_and_values(network: Any) -> bool:
    """Whether a network's memory is keys and values per token, by its configuration."""
    try:
        layers = DynamicCache(config=network.config).layers
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return False
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
