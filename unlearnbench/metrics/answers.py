"""What a model says of items' answers, token by token: each text is read once, whoever asks.

The tasks `answers` and `membership` ask for the same answers.  What has been read is kept as long
as the weights stay what they are.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from unlearnbench.metrics.items import (
    Encoded,
    Ids,
    Part,
    check_complete,
    check_lengths,
    encode_items,
)
from unlearnbench.models.cached_scoring import cached_outputs
from unlearnbench.models.generation.room import Room
from unlearnbench.models.likelihoods import Targets, Text, TextReader
from unlearnbench.models.network_state import acts_by_weights_alone, state_sha256
from unlearnbench.models.scoring import can_score_in_pieces, widened

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

    from unlearnbench.data.items import Item, Split
    from unlearnbench.models.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class AnswerTokens:
    """What a model says to each of an answer's T tokens after those before it, in float32."""

    log_probability: np.ndarray  # [T] nats, of the token
    is_greedy: np.ndarray  # [T] bool, whether it is the likeliest
    mean: np.ndarray  # [T] nats, of log p under p
    variance: np.ndarray  # [T] of log p under p
    margin: np.ndarray  # [T] z_y - logsumexp over all others of z, nats (KLOM)
    n_end: int  # last tokens that end an answer and are no words of it

    @property
    def is_greedy_without_end(self) -> np.ndarray:
        """[T - n_end], of the answer's own words."""
        return self.is_greedy[: len(self.is_greedy) - self.n_end]


@dataclass(frozen=True, eq=False)
class ItemReading:
    """An item with what was read of it."""

    item: "Item"
    answer: AnswerTokens
    encoded: Encoded  # of the answer
    paraphrases: tuple[AnswerTokens, ...] = ()
    wrong: tuple[AnswerTokens, ...] = ()


def read_items(
    model: "LanguageModel",
    wanted: Sequence[tuple["Split", Collection[Part]]],
    batch_size: int = 8,
) -> list[list[ItemReading]]:
    """What the model says of these parts of each split's items, split by split.

    Raises `UserError` for an item that does not fit the model or lacks what is asked of it.
    """
    for split, parts in wanted:
        check_complete(split, parts)
    encoded = [encode_items(model, split, parts) for split, parts in wanted]
    for (split, _), of_split in zip(wanted, encoded, strict=True):
        check_lengths(model, split, of_split)
    texts = [text for of_split in encoded for own in of_split for text in own]
    read = iter(_read(model, texts, batch_size))
    return [
        [
            _reading(item, parts, own[0], [next(read) for _ in own])
            for item, own in zip(split.items, of_split, strict=True)
        ]
        for (split, parts), of_split in zip(wanted, encoded, strict=True)
    ]


def _reading(
    item: "Item", parts: Collection[Part], encoded: Encoded, read: list[AnswerTokens]
) -> ItemReading:
    n_paraphrases = len(item.paraphrases) if "paraphrases" in parts else 0
    others = read[1:]
    return ItemReading(
        item, read[0], encoded, tuple(others[:n_paraphrases]), tuple(others[n_paraphrases:])
    )


# What has been read of a network: the state of its weights, and by text.
_known: "WeakKeyDictionary[Any, tuple[str, dict[tuple[Ids, Ids], Tensor]]]" = WeakKeyDictionary()


def _read(
    model: "LanguageModel", texts: Sequence[Encoded], batch_size: int
) -> Iterator[AnswerTokens]:
    known = _known_of(model.network)
    requested = {(text.prompt, text.answer): text for text in texts}
    missing = [key for key in requested if key not in known]
    # Of a network with something hooked in, logits are made whole, a text at a time.
    n_rows = batch_size if can_score_in_pieces(model) else 1
    reader = _TokenReader(model, Room.of(model, n_rows))
    known |= zip(missing, reader.read(missing, model.max_length), strict=True)
    for text in texts:
        log_p, greedy, mean, variance, margin = known[text.prompt, text.answer].numpy()
        yield AnswerTokens(log_p, greedy > 0, mean, variance, margin, text.n_end)


def _known_of(network: Any) -> dict[tuple[Ids, Ids], Tensor]:
    if not acts_by_weights_alone(network):
        return {}  # what is hooked in may change, and no hash would tell
    state = state_sha256(network)
    if network not in _known or _known[network][0] != state:
        _known[network] = (state, {})
    return _known[network][1]


class _TokenReader(TextReader[Tensor]):
    """[5, T] of each request, in the order of `AnswerTokens`."""

    def look_up(
        self, input_ids: Tensor, positions: Tensor, cache: "Cache | None", texts: list[Text]
    ) -> list[tuple[int, Tensor]]:
        outputs = cached_outputs(self.model, input_ids, positions, cache)
        of = Targets.of(texts)
        rows, tokens = of.rows.to(self.model.device), of.tokens.to(self.model.device)
        values = outputs.select(rows).values(token_values, tokens).cpu()
        # Copies: else each answer would keep its whole pass in memory.
        parts = [part.clone() for part in values.split(of.counts, dim=1)]
        return list(zip(of.requests, parts, strict=True))


def token_values(logits: Tensor, tokens: Tensor) -> Tensor:
    """[5, N] log p of each token, whether it is the likeliest, mean and variance of log p, margin.

    `logits` [N, V] are those that predict `tokens` [N]; nats.  The variance is the sum of
    p (log p - mean)^2, which is sum p log^2 p - mean^2 without that difference's rounding.
    """
    scores = widened(logits)
    at = tokens[:, None]
    log_p = scores.log_softmax(-1)
    p = log_p.exp()
    # What is impossible has no part in a mean, and 0 times infinity is no number.
    possible = log_p.masked_fill(p == 0, 0.0)
    mean = (p * possible).sum(-1)
    variance = (p * (possible - mean[:, None]).square()).sum(-1)
    margin = margins(scores, tokens)
    chosen, is_greedy = log_p.gather(1, at)[:, 0], scores.argmax(-1) == tokens
    return torch.stack([chosen, is_greedy.to(scores.dtype), mean, variance, margin])


def margins(logits: Tensor, tokens: Tensor) -> Tensor:
    """[N] z_y - logsumexp over all others of z, nats, of `tokens` [N] in `logits` [N, V] (KLOM)."""
    scores, at = widened(logits), tokens[:, None]
    others = scores.scatter(1, at, -torch.inf).logsumexp(-1)
    return scores.gather(1, at)[:, 0] - others
