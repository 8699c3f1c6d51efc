"""GPT-Neo with torch's fused attention and GELU: the same functions in less memory.

transformers computes this architecture's attention in steps, each of which keeps a
[B, H, L, L] tensor for the backward pass, and the tanh form of GELU in eight.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import NewGELUActivation
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoSelfAttention

from unlearnbench.models.shared_columns import Attended, SharedColumns, shared_columns_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FusedSelfAttention(GPTNeoSelfAttention):
    """Unscaled attention, as GPT-Neo's is; local layers see `window_size` positions."""

    def _attn(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """[B, H, Q, D] for the last Q of K positions; a mask is true where one looks."""
        shared = shared_columns_of(key)
        if shared:
            return self._of_branches(query, key, value, attention_mask, shared), None
        mask = self._window(query.shape[-2], key.shape[-2], attention_mask)
        if query.shape[-2] == 1 and query.device.type == "cpu":
            return self._of_one_position(query, key, value, mask), None
        dropout = self.attn_dropout.p if self.training else 0.0
        causal = mask is None and query.shape[-2] > 1
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=causal, scale=1.0
        ), None

    def _window(self, n_queries: int, n_keys: int, mask: Tensor | None) -> Tensor | None:
        if self.attention_type != "local" or n_keys <= self.config.window_size:
            return mask
        if mask is not None and mask.dtype != torch.bool:  # added to scores: 0 or far below
            mask = mask >= 0
        near: Tensor = self.bias[:, :, n_keys - n_queries : n_keys, :n_keys]
        return near if mask is None else near & mask

    def _of_one_position(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
    ) -> Tensor:
        # Half of the fused kernel's time on a CPU, where it works through heads one by one.
        scores = query.float() @ key.float().transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights: Tensor = self.attn_dropout(scores.softmax(-1).to(value.dtype))
        return weights @ value

    def _of_branches(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        shared: SharedColumns,
    ) -> Tensor:
        """[n, H, 1, D]: a branch's own columns, and those before them where its row has them."""
        mask = self._window(1, len(shared) + key.shape[-2], mask)
        before, own = (None, None) if mask is None else mask.split([len(shared), key.shape[-2]], -1)
        query = query.float()
        found = Attended.of(query @ key.float().transpose(-1, -2), value, own)
        return found.with_others(shared.attended(query, before)).to(value.dtype)


def fuse_operations(network: "PreTrainedModel") -> None:
    """Let a GPT-Neo compute with fused operations from now on; others have them already."""
    if network.config.model_type != "gpt_neo":
        return
    for module in network.modules():
        if type(module) is GPTNeoSelfAttention:
            module.__class__ = FusedSelfAttention
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, nn.GELU(approximate="tanh"))
    # The kind of mask that is made: true and false, and none where causality says it all.
    network.config._attn_implementation = "sdpa"


def reads_shared_columns(network: "PreTrainedModel") -> bool:
    """Whether every attention looks for columns that are handed on beside its keys."""
    kinds = [type(m) for m in network.modules() if isinstance(m, GPTNeoSelfAttention)]
    return bool(kinds) and set(kinds) == {FusedSelfAttention}
