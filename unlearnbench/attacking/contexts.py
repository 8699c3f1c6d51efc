"""Tokens in front of rows and items: a model is asked differently, and its network left alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from unlearnbench.metrics.items import Part, encode_items, encode_questions
from unlearnbench.models.sequences import Sequences
from unlearnbench.models.vocabulary import encode_starts

if TYPE_CHECKING:
    from unlearnbench.data.items import Split
    from unlearnbench.metrics.task import TaskContext
    from unlearnbench.models.language_model import LanguageModel

NEW_TOKENS = 50  # that an examination lets a model write, where it does not say itself
_PARTS: tuple[Part, ...] = ("paraphrases", "wrong")


def with_context(rows: Sequences, ids: Sequence[int]) -> Sequences:
    """The rows with `ids` behind their BOS: read like it, and never predicted or scored."""
    n_bos, count = rows.n_bos, len(ids)
    context = torch.tensor(ids, dtype=torch.long).expand(len(rows), count)
    first, own = rows.input_ids[:, :n_bos], rows.input_ids[:, n_bos:]
    return replace(
        rows,
        input_ids=torch.cat([first, context, own], dim=1),
        lengths=rows.lengths + count,
        n_given=rows.n_given + count,
        n_bos=n_bos + count,
    )


def with_prefixes(rows: Sequences, prefixes: Sequence[Sequence[int]], pad_id: int) -> Sequences:
    """The rows' suffixes behind other given tokens, none of which is empty.

    As many of the given tokens as all rows have, but one, are context, so that little beside the
    suffix is scored; of a longer prefix its last tokens are.
    """
    bos = rows.input_ids[:, : rows.n_bos].tolist()
    given = [[*first, *prefix] for first, prefix in zip(bos, prefixes, strict=True)]
    ids = [[*before, *rows.suffix(row)] for row, before in enumerate(given)]
    width = max(map(len, ids))
    return replace(
        rows,
        input_ids=torch.tensor([row + [pad_id] * (width - len(row)) for row in ids]),
        lengths=torch.tensor(list(map(len, ids))),
        n_given=torch.tensor(list(map(len, given))),
        n_bos=min(map(len, given)) - 1,
    )


def asked_with(context: "TaskContext", rows: Sequences, splits: "Sequence[Split]") -> "TaskContext":
    """What tasks measure with, of these rows and splits in place of the forget set's."""
    return replace(context, forget_set=replace(context.forget_set, rows=rows), splits=tuple(splits))


# Room in a model's context.  What does not fit without an attack is not measured, attack or no.


def new_tokens_of(context: "TaskContext") -> int:
    """How many tokens the rows' continuations may have."""
    return int(getattr(context.examiner, "new_tokens", NEW_TOKENS))


def room_for_rows(model: "LanguageModel", rows: Sequences, new_tokens: int) -> int:
    """How many more tokens fit in front of rows and of their continuations; below 0, none do."""
    if not len(rows):
        return model.max_length
    longest = max(rows.input_ids.shape[1], int(rows.n_given.max()) + new_tokens)
    return model.max_length - longest


@dataclass(frozen=True)
class ItemRoom:
    """Tokens that still fit in front of a split's longest text, and of its longest reply."""

    text: int
    reply: int | None  # None: there is an item without a question to reply to

    @classmethod
    def of(cls, model: "LanguageModel", split: "Split") -> "ItemRoom":
        """The room there is; below 0, the longest does not fit."""
        parts = [part for part in _PARTS if all(getattr(item, part) for item in split.items)]
        longest = max(
            (t.n_tokens for of in encode_items(model, split, parts) for t in of), default=0
        )
        reply = None
        if split.items and all(item.question for item in split.items):
            prompts = encode_questions(model, split)
            reply = model.max_length - max(map(len, prompts)) - split.new_tokens
        return cls(model.max_length - longest, reply)

    def holds_as(self, before: "ItemRoom") -> bool:
        """Whether all fits that fitted `before` the items were asked differently."""
        rooms = [(before.text, self.text), (before.reply, self.reply)]
        return all(had is None or has is None or had < 0 or has >= 0 for had, has in rooms)


def most_that_fits(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `most` that `fits`, as all below it do; 0 if none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def behind(split: "Split", before: Sequence[int]) -> "Split":
    """The split with these tokens in front of each prompt and text."""
    template = replace(split.template, before=(*split.template.before, *before))
    return replace(split, template=template)


# Texts in front.


def shown_rows(
    model: "LanguageModel", pool: Sequences, order: Iterable[int], room: int, most: int
) -> tuple[list[int], int]:
    """Tokens of the pool's rows in that order, those too long for the room left out; how many.

    A blank line ends each, but where it ends with a special token: an answer's end of turn.
    """
    blank_line, special = encode_starts(model.tokenizer, ["\n\n"])[0], special_ids(model)
    shown: list[int] = []
    n_rows = 0
    for row in order:
        tokens = pool.tokens(row)
        more = tokens if tokens[-1] in special else [*tokens, *blank_line]
        if n_rows < most and len(shown) + len(more) <= room:
            shown, n_rows = shown + more, n_rows + 1
    return shown, n_rows


def special_ids(model: "LanguageModel") -> set[int]:
    """The tokens that are no text: ends of sequences and turns, roles of a chat."""
    added = getattr(model.tokenizer, "added_tokens_decoder", {})
    return set(model.tokenizer.all_special_ids) | {i for i, t in added.items() if t.special}
