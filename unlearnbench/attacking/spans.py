"""What was to be forgotten, token by token: answers of a benchmark's items, or rows' suffixes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from unlearnbench.metrics.items import check_items, encode_items
from unlearnbench.models.generation.room import Room
from unlearnbench.models.scoring import labels_of, predictors_of, suffix_mask, widened
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from unlearnbench.attacking.attack import Target
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel


class TokenMeans(NamedTuple):
    """Means over a row's tokens."""

    log_probability: float  # nats, of the token
    is_greedy: float  # share of tokens that are the likeliest one


def spanned_splits(splits: "Sequence[Split]") -> "list[Split]":
    """The split called 'forget', else all to be forgotten; none of multiple choice.

    The others to be forgotten ask for the same in other words.
    """
    spanned = [
        split
        for split in splits
        if split.role == "forget" and all(item.position is None for item in split.items)
    ]
    return [split for split in spanned if split.name == "forget"] or spanned


def check_spans(model: "LanguageModel", splits: "Sequence[Split]") -> None:
    """Raise `UserError` for an item that lacks an answer or does not fit the model's context."""
    for split in spanned_splits(splits):
        check_items(model, split)


def forget_spans(model: "LanguageModel", target: "Target") -> Sequences:
    """[N, L] rows whose suffix is what was to be forgotten, as this model reads them.

    A benchmark's questions with their answers, without the token that ends an answer; where
    there are none, the rows of the forget set.  Of either the first ones up to the tasks' limit.
    """
    splits, limit = spanned_splits(target.context.splits), target.context.limit
    if not splits:
        rows = target.forget_set.rows
        return _predicted(rows.select(range(len(rows))[:limit]))
    splits = [split.first(limit) for split in splits]
    check_spans(model, splits)
    texts, names = [], []
    for split in splits:
        texts += [own[0] for own in encode_items(model, split)]
        start = "" if len(splits) == 1 else f"{split.name}/"
        names += [f"{start}{item.doc_id}" for item in split.items]
    ids = [[*text.prompt, *text.answer[: len(text.answer) - text.n_end]] for text in texts]
    width, pad = max(map(len, ids)), model.pad_token_id
    return _predicted(
        Sequences(
            input_ids=torch.tensor([own + [pad] * (width - len(own)) for own in ids]),
            lengths=torch.tensor(list(map(len, ids))),
            n_given=torch.tensor([len(text.prompt) for text in texts]),
            doc_ids=tuple(names),
        )
    )


def _predicted(rows: Sequences) -> Sequences:
    """Those with a token that something stands before."""
    return rows.select(suffix_mask(rows).any(1).nonzero()[:, 0])


def batches(
    model: "LanguageModel", rows: Sequences, batch_size: int
) -> Iterator[tuple[list[int], Sequences]]:
    """Which rows go together, and they without columns that only pad; the longest come first.

    At most `batch_size` of them, and as many as there is memory for.
    """
    room, lengths = Room.of(model, n_rows=1), rows.lengths.tolist()
    spans = suffix_mask(rows).sum(1).tolist()
    order = sorted(range(len(rows)), key=lambda row: -lengths[row])
    while order:
        width, n_rows = lengths[order[0]], 1
        while n_rows < min(batch_size, len(order)) and room.holds(
            n_rows + 1, width, 0, sum(spans[row] for row in order[: n_rows + 1])
        ):
            n_rows += 1
        chosen, order = order[:n_rows], order[n_rows:]
        batch = rows.select(chosen)
        yield chosen, replace(batch, input_ids=batch.input_ids[:, :width])


@dataclass(frozen=True)
class SpanTokens:
    """The N tokens of rows' suffixes, row after row, and where they are predicted."""

    positions: Tensor  # [B, L] bool, one to the left of each
    labels: Tensor  # [N] int64
    counts: tuple[int, ...]  # tokens of each row; they sum to N

    @classmethod
    def of(cls, rows: Sequences, device: torch.device) -> "SpanTokens":
        """Those of the rows, the labels on that device."""
        mask = suffix_mask(rows)
        return cls(predictors_of(mask), *labels_of(rows, mask, device))

    def read(self, logits: Iterable[Tensor]) -> list[TokenMeans]:
        """What logits say of each row; they come in pieces [n, V] of N."""
        log_p, is_greedy, done = [], [], 0
        for piece in logits:
            labels = self.labels[done : done + len(piece)]
            scores = widened(piece).log_softmax(-1)
            log_p.append(scores.gather(1, labels[:, None])[:, 0])
            is_greedy.append(scores.argmax(-1) == labels)
            done += len(piece)
        means = zip(self._means(torch.cat(log_p)), self._means(torch.cat(is_greedy)), strict=True)
        return [TokenMeans(*of_row) for of_row in means]

    def _means(self, values: Tensor) -> list[float]:
        return [float(row.mean()) for row in values.double().cpu().split(self.counts)]
