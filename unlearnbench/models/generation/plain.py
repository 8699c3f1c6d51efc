"""Continuations by the library's own `generate`."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

    from unlearnbench.models.language_model import LanguageModel


def generate(
    model: "LanguageModel",
    input_ids: Tensor,
    new_tokens: int,
    attention_mask: Tensor | None = None,
    n_beams: int = 1,
    use_cache: bool = True,
    cache: "Cache | None" = None,
    choose: Callable[[int, Tensor], Tensor] | None = None,
) -> list[list[int]]:
    """The new tokens of each of [B, L] prompts, up to and with an end of sequence.

    The best ones, or those that `choose` takes at a column from its scores [B, V].  The model's own
    generation defaults (sampling, penalties, lengths, forced tokens) count for nothing.
    """
    how = {"num_beams": n_beams, "use_cache": use_cache}
    chosen = _Chosen(choose) if choose is not None else None
    written = _generated(model, input_ids, new_tokens, how, attention_mask, cache, chosen)
    return _cut(model, written[:, input_ids.shape[1] :].tolist())


class _Chosen(LogitsProcessor):
    """Leaves of each row's scores the token that is chosen: the best one, then."""

    def __init__(self, choose: Callable[[int, Tensor], Tensor]) -> None:
        self.choose = choose

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        tokens = self.choose(input_ids.shape[1], scores).to(scores.device)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


def _cut(model: "LanguageModel", written: list[list[int]]) -> list[list[int]]:
    """Up to and with an end of sequence: padding may stand behind it."""
    eos = model.eos_token_id
    return [ids if eos not in ids else ids[: ids.index(eos) + 1] for ids in written]


def sample(
    model: "LanguageModel",
    prompt: list[int],
    new_tokens: int,
    n: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    use_cache: bool = True,
) -> list[list[int]]:
    """[n] continuations of one prompt drawn by torch's global generators, counted.

    Each has at least one token, and ends with its first end of sequence.
    """
    how = {
        "do_sample": True,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": 0,  # the library's default is 50
        "num_return_sequences": n,
        "min_new_tokens": 1,
        "use_cache": use_cache,
    }
    written = _generated(model, torch.tensor([prompt]), new_tokens, how)
    sampled = _cut(model, written[:, len(prompt) :].tolist())
    model.meter.count_generated(sum(map(len, sampled)))
    return sampled


def step_logits(
    model: "LanguageModel", input_ids: Tensor, new_tokens: int, use_cache: bool
) -> Tensor:
    """[T * B, V] the scores that greedy tokens after [B, L] prompts were chosen by."""
    how = {"use_cache": use_cache, "output_logits": True, "return_dict_in_generate": True}
    return torch.cat(_generated(model, input_ids, new_tokens, how).logits)


@torch.inference_mode()
def _generated(
    model: "LanguageModel",
    input_ids: Tensor,
    new_tokens: int,
    how: dict[str, Any],
    attention_mask: Tensor | None = None,
    cache: "Cache | None" = None,
    chosen: LogitsProcessor | None = None,
) -> Any:
    # `generate` fills what a configuration leaves open from the model's own defaults, which the
    # library lets one set but not leave out: here they are a copy's, with the same weights.
    network: Any = copy.copy(model.network)
    network.generation_config = GenerationConfig()
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    return network.generate(
        input_ids=input_ids.to(model.device),
        attention_mask=mask.to(model.device),
        generation_config=GenerationConfig(
            max_new_tokens=new_tokens,
            eos_token_id=model.eos_token_id,
            pad_token_id=model.pad_token_id,
            **{"do_sample": False, **how},
        ),
        **({} if cache is None else {"past_key_values": cache}),
        **({} if chosen is None else {"logits_processor": LogitsProcessorList([chosen])}),
    )
