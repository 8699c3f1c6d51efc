"""What our short cuts take for granted of a network, looked at on a handful of tokens."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

_LENGTH, _PREFIX = 12, 8  # tokens of a row that is looked at, and of its beginning


@dataclass(frozen=True)
class Behaviour:
    """Which short cuts give a network's own values; the plain way is taken for the others."""

    keeps_columns: bool  # its memory is keys and values per token, and gives what a plain pass does
    is_alone_in_a_batch: bool  # a row's values depend on no other row and on no padding
    generates_with_memory: bool  # the library's generate gives the same with its cache as without


def observe(model: "LanguageModel") -> Behaviour:
    """Look at a network in eight passes of some tokens.

    Raises `UserError` for one whose outputs do not stand at its inputs' positions, that looks at
    later tokens, or that gives other values for the same tokens each time.
    """
    with model.not_counted(), torch.inference_mode():
        return _Probe(model).behaviour()


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
            is_alone_in_a_batch=self.is_alone(first),
            generates_with_memory=self.generates_alike(),
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

    def is_continued(self, first: Tensor) -> bool:
        """Whether tokens behind a cache give what they give in one pass."""
        cache = DynamicCache()
        self.logits(self.rows[:1, : self.prefix], past_key_values=cache, use_cache=True)
        behind = self.rows[:1, self.prefix :]
        parts = [
            self.logits(behind[:, i : i + 1], past_key_values=cache, use_cache=True)
            for i in range(min(2, behind.shape[1]))
        ]
        return self.alike(torch.cat(parts, 1), first[:, self.prefix : self.prefix + len(parts)])

    def is_alone(self, first: Tensor) -> bool:
        """Whether a row gives the same beside a longer one, and its beginning alone."""
        mask = torch.ones_like(self.rows)
        mask[0, self.prefix :] = 0
        padded = self.rows.clone()
        padded[0, self.prefix :] = self.model.pad_token_id
        together = self.logits(padded, attention_mask=mask)
        alone = self.logits(self.rows[:1, : self.prefix])
        second = self.logits(self.rows[1:])
        return (
            self.alike(together[:1, : self.prefix], first[:, : self.prefix])
            and self.alike(alone, first[:, : self.prefix])
            and self.alike(together[1:], second)
        )

    def generates_alike(self) -> bool:
        """Whether the library's generate gives the same scores with its cache as without."""
        from unlearnbench.models.generation.plain import generate

        with_memory, without = (
            generate(self.model, self.rows[:1, : self.prefix], 3, use_cache=use_cache)
            for use_cache in (True, False)
        )
        return with_memory == without

    def logits(self, input_ids: Tensor, **more: Any) -> Tensor:
        more.setdefault("use_cache", False)
        made: Tensor = self.network(input_ids=input_ids, **more).logits
        return made.float()

    def alike(self, one: Tensor, other: Tensor) -> bool:
        """Equal but for rounding, by the spread of the scores over the vocabulary."""
        if one.shape != other.shape:
            return False
        share = 1e-3 if self.network.dtype == torch.float32 else 0.1
        return bool(((one - other).abs() <= share * other.std(-1, keepdim=True)).all())


def keeps_keys_and_values(network: Any) -> bool:
    """Whether a network's memory is keys and values per token, by its configuration."""
    try:
        layers = DynamicCache(config=network.config).layers
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return False
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
