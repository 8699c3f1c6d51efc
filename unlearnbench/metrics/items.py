"""Items as a model reads them, and what is wrong with them before anything is trained."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unlearnbench.data.templates import encode_answers, encode_prompts, end_tokens
from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.data.items import Item, Split
    from unlearnbench.models.language_model import LanguageModel

Part = Literal["answer", "paraphrases", "wrong"]
_PARTS: tuple[Part, ...] = ("answer", "paraphrases", "wrong")
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    """A text as the model reads it: what is given, BOS included, and what is scored."""

    prompt: Ids
    answer: Ids
    n_end: int  # last tokens of the answer that end it

    @property
    def n_tokens(self) -> int:
        """That the network reads: nothing is predicted from the last one."""
        return len(self.prompt) + len(self.answer) - 1


def encode_items(
    model: "LanguageModel", split: "Split", parts: Collection[Part] = ()
) -> list[list[Encoded]]:
    """Of each item the answer, then those of its paraphrases and wrong answers that are wanted."""
    pairs = [
        [
            (item.question, text)
            for part in _PARTS
            if part in ("answer", *parts)
            for text in _texts(item, part)
        ]
        for item in split.items
    ]
    encoded = iter(encode_answers(model, split.template, [pair for own in pairs for pair in own]))
    ends = end_tokens(model, split.template) if split.template.ends else frozenset()
    start, n_before = _start(model), len(split.template.before)
    return [[_encoded(start, *next(encoded), ends, n_before) for _ in own] for own in pairs]


def encode_questions(model: "LanguageModel", split: "Split") -> list[list[int]]:
    """The tokens after which the model is to answer each item, its BOS included."""
    questions = [item.question for item in split.items]
    return [[*_start(model), *ids] for ids in encode_prompts(model, split.template, questions)]


def _texts(item: "Item", part: Part) -> tuple[str, ...]:
    return (item.answer,) if part == "answer" else getattr(item, part)


def _start(model: "LanguageModel") -> Ids:
    bos = model.bos_token_id_to_prepend
    return () if bos is None else (bos,)


def _encoded(
    start: Ids, prompt: list[int], answer: list[int], ends: Collection[int], n_before: int
) -> Encoded:
    given = (*start, *prompt)
    n_end = int(bool(answer) and answer[-1] in ends)
    # Nothing stands before a text's first token to predict it from.  Where an attack shows
    # something before it, the same tokens are scored all the same.
    if len(given) == n_before:
        given, answer = (*given, *answer[:1]), answer[1:]
    return Encoded(given, tuple(answer), n_end)


# Checks, which planning makes as well: they look at no weights.


def check_items(model: "LanguageModel", split: "Split", parts: Collection[Part] = ()) -> None:
    """Raise `UserError` for an item that lacks a part, or does not fit the model's context."""
    check_complete(split, parts)
    check_lengths(model, split, encode_items(model, split, parts))


def check_complete(split: "Split", parts: Collection[Part]) -> None:
    """Raise `UserError` for an item without an answer, or without a part that is asked for."""
    if not split.items:
        raise UserError(f"the split '{split.name}' has no items; see: {split.source or 'its file'}")
    for item in split.items:
        for part in ("answer", *parts):
            if not all(_texts(item, part)) or not _texts(item, part):
                raise UserError(
                    f"{_place(split, item)}: no {_IN_WORDS[part]}; every item of '{split.name}' "
                    f"needs it: add it, or leave out what it is measured by"
                )


_IN_WORDS = {"answer": "answer", "paraphrases": "paraphrased answer", "wrong": "wrong answer"}


def check_prompts(model: "LanguageModel", split: "Split") -> None:
    """Raise `UserError` for a prompt that leaves the network no room for a reply."""
    check_complete(split, ())
    for item, prompt in zip(split.items, encode_questions(model, split), strict=True):
        if not item.question:
            raise UserError(
                f"{_place(split, item)}: a text without a question has no prompt to reply to; "
                "measure its membership instead"
            )
        if len(prompt) + split.new_tokens > model.max_length:
            raise UserError(
                f"{_place(split, item)}: a prompt of {len(prompt)} tokens and {split.new_tokens} "
                f"of a reply do not fit the {model.max_length} of {model.source.name}; give the "
                f"split '{split.name}' fewer new tokens, or take a model with a longer context"
            )


def check_lengths(model: "LanguageModel", split: "Split", encoded: list[list[Encoded]]) -> None:
    """Raise `UserError` for an item that does not fit the model's context, or predicts nothing."""
    for item, own in zip(split.items, encoded, strict=True):
        longest = max(text.n_tokens for text in own)
        if longest > model.max_length:
            raise UserError(
                f"{_place(split, item)}: {longest} tokens of question and answer do not fit the "
                f"{model.max_length} of {model.source.name}; cut the item into shorter ones, or "
                "take a model with a longer context"
            )
        if not all(text.answer for text in own):
            raise UserError(
                f"{_place(split, item)}: nothing stands before its one token to predict it from; "
                "leave the item out"
            )


def _place(split: "Split", item: "Item") -> str:
    return item.where or f"split '{split.name}', item {item.doc_id}"
