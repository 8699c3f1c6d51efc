"""What an attack trains on and what it is scored by: parts of what is to be forgotten."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from unlearnbench.attacking.questions import texts_of
from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.models.sequences import Sequences, sequences_sha256
from unlearnbench.models.vocabulary import encode_continuations
from unlearnbench.unlearning.steps import seeded_generator

if TYPE_CHECKING:
    from unlearnbench.data.items import Item, Split
    from unlearnbench.metrics.task import TaskContext
    from unlearnbench.models.language_model import LanguageModel

# Which rows.


def drawn(n: int, seed: int, purpose: str) -> list[int]:
    """0 to n - 1 in an order that hangs on n, seed and purpose alone: the first are taken."""
    order: list[int] = torch.randperm(n, generator=seeded_generator(seed, purpose)).tolist()
    return order


def divided(n_rows: int, n_taught: int, seed: int) -> tuple[list[int], list[int]]:
    """Rows that may be trained on, in the order in which they are drawn, and the others in theirs.

    Of two attacks that divide alike the same rows are held out.
    """
    order = drawn(n_rows, seed, "rows to train on")
    return order[:n_taught], sorted(order[n_taught:])


def n_beside(n_rows: int, share: float) -> int:
    """How many rows are left to train on beside a share held out; at least one of either."""
    return n_rows - min(max(round(share * n_rows), 1), n_rows - 1)


# Which items.


@dataclass(frozen=True)
class Taught:
    """Rows that were trained on: their names, and what their suffixes say."""

    names: frozenset[str]
    answers: tuple[str, ...]  # words, with a space before and behind each

    @classmethod
    def of(cls, model: "LanguageModel", rows: Sequences) -> "Taught":
        """Those rows."""
        suffixes = texts_of(model, [rows.suffix(row) for row in range(len(rows))])
        answers = dict.fromkeys(map(_words, suffixes))
        return cls(frozenset(rows.doc_ids), tuple(words for words in answers if words.strip()))

    def has(self, item: "Item") -> bool:
        """Whether the item has a row's name, or its answer holds a row's answer.

        In whole words of a question's answer, and anywhere in a text: a row may begin within a
        word.  Neither case nor spaces nor punctuation count.
        """
        if item.doc_id in self.names:
            return True
        words = _words(item.answer)
        if item.question:
            return any(answer in words for answer in self.answers)
        letters = words.replace(" ", "")
        return any(answer.replace(" ", "") in letters for answer in self.answers)


def _words(text: str) -> str:
    return " ".join(["", *re.findall(r"\w+", text.casefold()), ""])


def held_out(split: "Split", taught: Taught) -> "Split":
    """The split without items that were trained on, by name or by what they say.

    By both: another split's items may have other names for the same, or the names for others.
    """
    return replace(split, items=tuple(item for item in split.items if not taught.has(item)))


def held_out_context(
    model: "LanguageModel", context: "TaskContext", kept: Sequence[int]
) -> "TaskContext":
    """What tasks measure with, of these rows of the forget set alone.

    Splits to forget keep the items that are these rows, but for those that say what another row
    says; splits of other items are left out.  What was never to be forgotten is measured whole.
    """
    rows = context.forget_set.rows
    forget_set = _forget_set_of(context.forget_set, kept)
    names = frozenset(forget_set.rows.doc_ids)
    taught = Taught.of(model, rows.select(sorted(set(range(len(rows))) - set(kept))))
    splits = []
    for split in context.splits:
        if not split.is_to_forget:
            splits.append(split)
        elif holds_rows(model, rows, split):
            own = replace(split, items=tuple(i for i in split.items if i.doc_id in names))
            left = held_out(own, taught)
            splits += [left] if left.items else []
    return replace(context, forget_set=forget_set, splits=tuple(splits))


def _forget_set_of(forget_set: ForgetSet, kept: Sequence[int]) -> ForgetSet:
    rows, find_pairs = forget_set.rows.select(kept), forget_set.find_pairs

    def pairs_of_kept() -> list[int]:
        pairs = find_pairs()
        return [pairs[row] for row in kept]

    return replace(
        forget_set,
        rows=rows,
        content_sha256=sequences_sha256(rows, forget_set.pool),
        find_pairs=pairs_of_kept,
        _pairs=None,
    )


def holds_rows(model: "LanguageModel", rows: Sequences, split: "Split") -> bool:
    """Whether a split's items are rows of the forget set, asked the same way or another.

    An item is a row if it has the row's name and the row ends with its answer or, of a text, holds
    it.  Questions about what the rows say (MUSE's about books, WMDP's multiple choice) are not, and
    nobody could say which of them were taught again.
    """
    places = {name: row for row, name in enumerate(rows.doc_ids)}
    known = [item for item in split.items if item.doc_id in places]
    return bool(known) and all(_is_row(model, rows, places[i.doc_id], i) for i in known)


def _is_row(model: "LanguageModel", rows: Sequences, row: int, item: "Item") -> bool:
    # Both by way of the tokenizer, which may change spaces and letters.
    (answer,) = encode_continuations(model.tokenizer, [item.answer])
    whole = rows.suffix(row) if item.question else rows.tokens(row)
    answer_text, row_text = ("".join(model.decode(ids).split()) for ids in (answer, whole))
    return answer_text in row_text
