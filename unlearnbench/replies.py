"""Replies: greedy continuations of prompts of any length that end where a stop text begins."""

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from unlearnbench.branches import Branch, Prefill, check_cache, decode_branches
from unlearnbench.errors import UserError
from unlearnbench.vocabulary import encode_starts

if TYPE_CHECKING:
    from unlearnbench.model import LanguageModel


def write_replies(
    model: "LanguageModel",
    prompts: Sequence[str],
    stop: str,
    new_tokens: int = 32,
    batch_size: int = 16,
) -> list[str]:
    """What the model writes after each prompt: at most `new_tokens` tokens, up to `stop`.

    Greedy, without the model's own generation defaults; an end of sequence ends a
    reply.  A prompt too long for the network loses its beginning.  Special tokens are
    no part of a reply.  `batch_size` changes speed and memory only.
    Raises `UserError` for a network whose context `new_tokens` fill.
    """
    check_cache(model)
    ids = _prompt_ids(model, prompts, new_tokens)
    replies = [""] * len(ids)
    # Neighbours in length share a batch, so that little of it is padding.
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        written = _continue(model, [ids[i] for i in batch], stop, new_tokens)
        for i, tokens in zip(batch, written, strict=True):
            replies[i] = _text(model, tokens).partition(stop)[0]
    return replies


def _prompt_ids(model: "LanguageModel", prompts: Sequence[str], new_tokens: int) -> list[list[int]]:
    bos = model.bos_token_id_to_prepend
    head = [] if bos is None else [bos]
    room = model.max_length - new_tokens - len(head)
    if room < 1:
        raise UserError(
            f"{new_tokens} new tokens leave no room for a prompt in the {model.max_length} of "
            f"{model.source.name}; use fewer: --set dialogue.new_tokens=32"
        )
    return [head + ids[-room:] for ids in encode_starts(model.tokenizer, prompts)]


def _continue(
    model: "LanguageModel", prompts: list[list[int]], stop: str, new_tokens: int
) -> Iterator[list[int]]:
    """The tokens written after each prompt, without an end of sequence."""
    prefill = _prefill(model, prompts)
    branches = [
        Branch(i, len(ids), int(prefill.predicted[i, len(ids)]), len(ids) + new_tokens)
        for i, ids in enumerate(prompts)
    ]
    watch = _StopText(model, stop, len(branches))
    for tokens in decode_branches(model, prefill, branches, len(branches), watch):
        ended = bool(tokens) and tokens[-1] == model.eos_token_id
        yield tokens[:-1] if ended else tokens


@torch.inference_mode()
def _prefill(model: "LanguageModel", prompts: list[list[int]]) -> Prefill:
    """One pass over the prompts, padded on the right, where no prompt's tokens look.

    Only what follows a prompt's last token is predicted; other columns hold -1.
    """
    last = torch.tensor([len(ids) - 1 for ids in prompts])
    width = int(last.max()) + 1
    padded = [ids + [model.pad_token_id] * (width - len(ids)) for ids in prompts]
    cache = DynamicCache()  # as in `branches`: without the configuration every column is kept
    logits = _logits_after(model, torch.tensor(padded), last, cache)
    predicted = torch.full((len(prompts), width + 1), -1)
    predicted[torch.arange(len(prompts)), last + 1] = logits.argmax(-1).cpu()
    return Prefill(predicted, cache)


def _logits_after(
    model: "LanguageModel", input_ids: Tensor, last: Tensor, cache: DynamicCache
) -> Tensor:
    """[B, V] next-token scores at each row's column `last`, float32."""
    columns, place = torch.unique(last, return_inverse=True)
    accepted = inspect.signature(model.network.forward).parameters
    # All columns' logits take more memory than the pass itself.
    chosen = {"logits_to_keep": columns.to(model.device)} if "logits_to_keep" in accepted else {}
    logits = model.network(
        input_ids=input_ids.to(model.device), past_key_values=cache, use_cache=True, **chosen
    ).logits
    at = place if chosen else last
    return logits[torch.arange(len(last), device=logits.device), at.to(logits.device)].float()


def _text(model: "LanguageModel", tokens: list[int]) -> str:
    text = model.tokenizer.decode(
        tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return str(text)


class _StopText:
    """Settles the branches whose text holds the stop text: the rest would be cut off."""

    def __init__(self, model: "LanguageModel", stop: str, n_branches: int) -> None:
        self.model, self.stop = model, stop
        self.written: list[list[int]] = [[] for _ in range(n_branches)]

    def settled(
        self,
        branches: Tensor,
        column: int | Tensor,  # noqa: ARG002 - every branch gets one token at a time
        tokens: Tensor,
    ) -> Tensor:
        """[k] bool: has the stop text been written?"""
        for branch, token in zip(branches.tolist(), tokens.tolist(), strict=True):
            self.written[branch].append(token)
        return torch.tensor([self._has_stop(b) for b in branches.tolist()], dtype=torch.bool)

    def _has_stop(self, branch: int) -> bool:
        return self.stop in _text(self.model, self.written[branch])
