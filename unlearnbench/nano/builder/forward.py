"""A lean forward pass over the library models' own parameters, for training only.

About 1.4 times as fast on one core as the library's forward; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The models are Any below: the library types no submodule.
Forward = Callable[[Any, torch.Tensor], torch.Tensor]


def mean_nll(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Return the mean next-token loss of ``ids`` [rows, length]."""
    logits = FORWARDS[model.config.model_type](model, ids[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def _heads(hidden: torch.Tensor, count: int) -> torch.Tensor:
    rows, length, width = hidden.shape
    return hidden.view(rows, length, count, width // count).transpose(1, 2)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    count: int,
    scale: float | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    query, key, value = (_heads(part, count) for part in (query, key, value))
    mixed = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale
    )
    return mixed.transpose(1, 2).flatten(2)


def _local_mask(length: int, window: int) -> torch.Tensor | None:
    if length <= window:
        return None
    ones = torch.ones(length, length, dtype=torch.bool)
    return ones.tril() & ones.triu(1 - window)


def _neo(model: Any, ids: torch.Tensor) -> torch.Tensor:
    body, config = model.transformer, model.config
    hidden = body.wte(ids) + body.wpe.weight[: ids.shape[1]]
    local = _local_mask(ids.shape[1], config.window_size)
    for block, kind in zip(body.h, config.attention_layers, strict=True):
        attention, x = block.attn.attention, block.ln_1(hidden)
        mask = local if kind == "local" else None
        # GPT-Neo does not scale its attention scores.
        mixed = _attend(
            attention.q_proj(x),
            attention.k_proj(x),
            attention.v_proj(x),
            config.num_heads,
            1.0,
            mask,
        )
        hidden = hidden + attention.out_proj(mixed)
        hidden = hidden + block.mlp.c_proj(
            F.gelu(block.mlp.c_fc(block.ln_2(hidden)), approximate="tanh")
        )
    return model.lm_head(body.ln_f(hidden))


def _opt(model: Any, ids: torch.Tensor) -> torch.Tensor:
    body, config = model.model.decoder, model.config
    # OPT's position table starts with two unused rows.
    hidden = body.embed_tokens(ids) + body.embed_positions.weight[2 : 2 + ids.shape[1]]
    for layer in body.layers:
        x, attention = layer.self_attn_layer_norm(hidden), layer.self_attn
        mixed = _attend(
            attention.q_proj(x),
            attention.k_proj(x),
            attention.v_proj(x),
            config.num_attention_heads,
        )
        hidden = hidden + attention.out_proj(mixed)
        hidden = hidden + layer.fc2(F.relu(layer.fc1(layer.final_layer_norm(hidden))))
    return model.lm_head(body.final_layer_norm(hidden))


def _rotate(
    states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, count: int
) -> torch.Tensor:
    heads = _heads(states, count)
    first, second = heads.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (heads * cosine + turned * sine).transpose(1, 2).flatten(2)


def _llama(model: Any, ids: torch.Tensor) -> torch.Tensor:
    body, config = model.model, model.config
    hidden, count = body.embed_tokens(ids), config.num_attention_heads
    cosine, sine = body.rotary_emb(hidden, torch.arange(ids.shape[1])[None])
    cosine, sine = cosine[:, None], sine[:, None]
    for layer in body.layers:
        x, attention = layer.input_layernorm(hidden), layer.self_attn
        query = _rotate(attention.q_proj(x), cosine, sine, count)
        key = _rotate(attention.k_proj(x), cosine, sine, count)
        hidden = hidden + attention.o_proj(_attend(query, key, attention.v_proj(x), count))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return model.lm_head(body.norm(hidden))


FORWARDS: dict[str, Forward] = {"gpt_neo": _neo, "opt": _opt, "llama": _llama}
