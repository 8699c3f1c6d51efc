"""GPT-Neo with torch's fused attention and GELU: the same functions in less memory.

transformers computes this architecture's attention in steps, each of which keeps a
[B, H, L, L] tensor for the backward pass, and the tanh form of GELU in eight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import NewGELUActivation
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoSelfAttention

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Places:
    """Where each of n branches stands among the branches of its row, of which there are R."""

    rows: Tensor  # [n] int64
    number: Tensor  # [n] int64, within the row
    n_rows: int
    most: int  # branches of one row

    @classmethod
    def of(cls, rows: Tensor, n_rows: int) -> "Places":
        """Of branches of these rows [n]; the first ones of them stand where all of them do."""
        is_of = rows[:, None] == torch.arange(n_rows, device=rows.device)
        number = is_of.cumsum(0).gather(1, rows[:, None])[:, 0] - 1
        most = int(number.max()) + 1 if len(rows) else 1
        return cls(rows, number, n_rows, most)

    def first(self, n: int) -> "Places":
        """Those of the first n branches."""
        return Places(self.rows[:n], self.number[:n], self.n_rows, self.most)

    def by_row(self, of_branches: Tensor) -> Tensor:
        """[R, H, most, X] of [n, H, 1, X]; nothing where a row has fewer branches."""
        n_heads, width = of_branches.shape[1], of_branches.shape[3]
        spread = of_branches.new_zeros(self.n_rows, n_heads, self.most, width)
        spread[self.rows, :, self.number] = of_branches[:, :, 0]
        return spread

    def by_branch(self, of_rows: Tensor) -> Tensor:
        """[n, H, 1, X] of [R, H, most, X]."""
        return of_rows[self.rows, :, self.number][:, :, None]


@dataclass(frozen=True)
class SharedColumns:
    """The first columns of every row, [R, H, C, D], for branches that all stand behind them."""

    keys: Tensor
    values: Tensor
    places: Places

    def __len__(self) -> int:
        return self.keys.shape[2]

    def attended(self, query: Tensor, mask: Tensor | None) -> "Attended":
        """What each branch's query [n, H, 1, D] finds here; `mask` [..., 1, C] as `Attended`'s."""
        scores = self.places.by_row(query) @ self.keys.to(query.dtype).transpose(-1, -2)
        attended = Attended.of(scores, self.values, mask)
        # Together: one walk over the branches, and no wider than a head.
        parts = torch.cat([attended.mixed, attended.total, attended.top], dim=-1)
        width = self.values.shape[-1]
        return Attended(*self.places.by_branch(parts).split([width, 1, 1], dim=-1))


class SharingCache(Cache):
    """The memory of branches, each layer of which leaves its first columns with their rows."""

    def __init__(
        self, layers: Sequence[CacheLayerMixin], shared_columns: Sequence[SharedColumns]
    ) -> None:
        super().__init__(layers=list(layers))
        self.shared_columns = shared_columns


class FusedSelfAttention(GPTNeoSelfAttention):
    """Unscaled attention, as GPT-Neo's is; local layers see `window_size` positions.

    Beside the keys and values of a `SharingCache` it reads the columns that are left with rows.
    """

    @classmethod
    def of(cls, plain: GPTNeoSelfAttention) -> "FusedSelfAttention":
        """The same attention, made of the very modules of a plain one."""
        with torch.device("meta"):  # weights that are replaced at once take neither time nor memory
            fused = cls(plain.config, plain.attention_type, plain.layer_id)
        for name, child in plain.named_children():
            fused.set_submodule(name, child)
        fused.bias = plain.bias
        return fused.train(plain.training)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        layer_past: Cache | None = None,
        use_cache: bool = False,  # noqa: ARG002 - the library's signature
        output_attentions: bool = False,  # noqa: ARG002
        **kwargs: object,  # noqa: ARG002
    ) -> tuple[Tensor, None]:
        """[B, Q, d], and no weights, which are never made; a mask is true where one looks."""
        query, key, value = (
            self._split_heads(projection(hidden_states), self.num_heads, self.head_dim)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        shared = None
        if layer_past is not None:
            key, value = layer_past.update(key, value, self.layer_id)
            if isinstance(layer_past, SharingCache):
                shared = layer_past.shared_columns[self.layer_id]
        attended = self._attended(query, key, value, attention_mask, shared)
        merged = self._merge_heads(attended, self.num_heads, self.head_dim)
        return self.resid_dropout(self.out_proj(merged)), None

    def _attended(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        shared: SharedColumns | None,
    ) -> Tensor:
        """[B, H, Q, D] for the last Q of K positions."""
        if shared is not None:
            return self._of_branches(query, key, value, mask, shared)
        mask = self._window(query.shape[-2], key.shape[-2], mask)
        if query.shape[-2] == 1 and query.device.type == "cpu":
            return self._of_one_position(query, key, value, mask)
        dropout = self.attn_dropout.p if self.training else 0.0
        causal = mask is None and query.shape[-2] > 1
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=causal, scale=1.0
        )

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
        own_columns = Attended.of(query @ key.float().transpose(-1, -2), value, own)
        return own_columns.with_others(shared.attended(query, before)).to(value.dtype)


def fuse_operations(network: "PreTrainedModel") -> None:
    """Let a GPT-Neo compute with fused operations from now on; others have them already."""
    if network.config.model_type != "gpt_neo":
        return
    for name, module in list(network.named_modules()):
        if type(module) is GPTNeoSelfAttention:
            network.set_submodule(name, FusedSelfAttention.of(module))
        elif type(module) is NewGELUActivation:
            network.set_submodule(name, nn.GELU(approximate="tanh"))
    # The kind of mask that is made: true and false, and none where causality says it all.  The
    # library has no public way, as it knows no such attention for this architecture.
    network.config._attn_implementation = "sdpa"


def reads_shared_columns(network: "PreTrainedModel") -> bool:
    """Whether every attention looks for columns that are handed on beside its keys."""
    kinds = [type(m) for m in network.modules() if isinstance(m, GPTNeoSelfAttention)]
    return bool(kinds) and set(kinds) == {FusedSelfAttention}


@dataclass(frozen=True)
class Attended:
    """What attention finds in some of the columns, to be put together with the others."""

    mixed: Tensor  # [..., 1, D] float32 values, weighed by exp(score - top)
    total: Tensor  # [..., 1, 1] of those weights
    top: Tensor  # [..., 1, 1] largest score

    @classmethod
    def of(cls, scores: Tensor, values: Tensor, mask: Tensor | None) -> "Attended":
        """From products with the keys [..., 1, C]; `mask` [..., 1, C] is true where one looks."""
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        top = scores.amax(-1, keepdim=True)
        weights = (scores - top).exp_()
        mixed = (weights.to(values.dtype) @ values).to(scores.dtype)
        return cls(mixed, weights.sum(-1, keepdim=True), top)

    def with_others(self, others: "Attended") -> Tensor:
        """[..., 1, D] attention to both: one softmax over all their columns."""
        top = torch.maximum(self.top, others.top)
        own, of_others = (self.top - top).exp_(), (others.top - top).exp_()
        mixed = self.mixed * own + others.mixed * of_others
        return mixed / (self.total * own + others.total * of_others)
