"""Replies: greedy continuations of prompts of any length that end where a stop text begins."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unlearnbench.errors import UserError
from unlearnbench.models.cached_scoring import cached_pass
from unlearnbench.models.generation.branches import Prefill, continue_rows, new_cache
from unlearnbench.models.generation.room import Room
from unlearnbench.models.vocabulary import encode_starts

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


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
    no part of a reply.  At least `batch_size` prompts go together, and as many as there is
    memory for; that changes no reply.
    Raises `UserError` for a network whose context `new_tokens` fill.
    """
    ids = _prompt_ids(model, prompts, new_tokens)
    return continue_prompts(model, ids, new_tokens, (stop,), batch_size=batch_size)


def continue_prompts(
    model: "LanguageModel",
    prompts: Sequence[list[int]],
    new_tokens: int,
    stops: tuple[str, ...] = (),
    ends: Collection[int] = (),
    batch_size: int = 16,
) -> list[str]:
    """What the model writes after the tokens of each prompt, which fit it with `new_tokens` more.

    As `write_replies` has it; a reply ends before the first of the stop texts, and at a token of
    `ends` as at an end of sequence.  A BOS is part of the prompt.
    """
    replies, n_done = [""] * len(prompts), 0
    every_end = {*ends, *([] if model.eos_token_id is None else [model.eos_token_id])}
    for batch in _batches(Room.of(model, batch_size), list(map(len, prompts)), new_tokens):
        prompt_ids = [prompts[i] for i in batch]
        prefill, _ = prefill_prompts(model, prompt_ids)
        watch = _Endings(model, stops, every_end, len(batch))
        starts = list(map(len, prompt_ids))
        written = continue_rows(model, prefill, starts, new_tokens, len(batch), watch)
        for i, tokens in zip(batch, written, strict=True):
            own = itertools.takewhile(lambda token: token not in every_end, tokens)
            replies[i] = _before(stops, _text(model, list(own)))
        n_done += len(batch)
        model.meter.advance(n_done, len(prompts))
    return replies


def _batches(room: Room, lengths: list[int], new_tokens: int) -> Iterator[list[int]]:
    """Prompts that go together; neighbours in length, so that little of a batch is padding."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        more = len(batch) + 1
        if more > room.n_rows and not room.keeps(more, lengths[i], new_tokens):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


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


@torch.inference_mode()
def prefill_prompts(
    model: "LanguageModel", prompts: Sequence[Sequence[int]]
) -> tuple[Prefill, Tensor]:
    """One pass over the prompts, padded on the right, where no prompt's tokens look.

    Only what follows a prompt's last token is predicted, from the scores [R, V] that come along;
    other columns hold -1.
    """
    padded = pad_sequence(
        [torch.tensor(ids) for ids in prompts], batch_first=True, padding_value=model.pad_token_id
    )
    ends = torch.tensor([len(ids) for ids in prompts])
    cache = new_cache(model)
    last = torch.arange(padded.shape[1]) == ends[:, None] - 1
    logits = cached_pass(model, padded, last, cache).float()
    predicted = torch.full((len(prompts), padded.shape[1] + 1), -1)
    predicted[torch.arange(len(prompts)), ends] = logits.argmax(-1).cpu()
    return Prefill(padded, predicted, cache), logits


def _text(model: "LanguageModel", tokens: list[int]) -> str:
    return str(
        model.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )


def _before(stops: tuple[str, ...], text: str) -> str:
    """The text before the first of the stop texts in it."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(found, default=len(text))]


class _Endings:
    """Settles the branches whose reply is over: the rest would be cut off."""

    def __init__(
        self, model: "LanguageModel", stops: tuple[str, ...], ends: Collection[int], n_branches: int
    ) -> None:
        self.model, self.stops, self.ends = model, stops, ends
        self.written: list[list[int]] = [[] for _ in range(n_branches)]

    def settled(
        self,
        branches: Tensor,
        column: int | Tensor,  # noqa: ARG002 - every branch gets one token at a time
        tokens: Tensor,
    ) -> Tensor:
        """[k] bool: has a stop text or an end been written?"""
        for branch, token in zip(branches.tolist(), tokens.tolist(), strict=True):
            self.written[branch].append(token)
        written = [self.written[branch] for branch in branches.tolist()]
        return torch.tensor([self._is_over(each) for each in written], dtype=torch.bool)

    def _is_over(self, written: list[int]) -> bool:
        if written[-1] in self.ends:
            return True
        if not self.stops:
            return False
        text = _text(self.model, written)
        return any(stop in text for stop in self.stops)
