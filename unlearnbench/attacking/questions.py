"""What a model is asked about what it is to forget: rows of a forget set, or items of splits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unlearnbench.data.items import select
from unlearnbench.data.templates import end_tokens
from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.attacking.attack import Target
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences

ROW_TOKENS = 32  # new tokens after a row's prefix; a split says itself how long a reply may be


@dataclass(frozen=True)
class Question:
    """What is given to the model, and what it is not to answer."""

    doc_id: str
    prompt: tuple[int, ...]  # BOS included
    answer: str  # what replies are compared with
    suffix: tuple[int, ...] = ()  # of a row: the answer's tokens


@dataclass(frozen=True)
class Questions:
    """Questions that are asked alike: all rows, or a split."""

    name: str  # the split's; empty for rows
    questions: tuple[Question, ...]
    new_tokens: int  # of a reply at most
    stop: tuple[str, ...] = ()  # texts at which a reply ends
    ends: frozenset[int] = frozenset()  # tokens at which it ends, beside the end of sequence

    def reply(self, text: str) -> str:
        """What of a text is the reply: all before the first of the stop texts."""
        found = [at for stop in self.stop if (at := text.find(stop)) >= 0]
        return text[: min(found, default=len(text))].strip()


def forget_questions(splits: "Sequence[Split]", new_tokens: int | None) -> "list[Split]":
    """The splits to forget whose replies are measured, with `new_tokens` where they are given."""
    asked = [split for split in select(splits, "rouge", "exact_match") if split.is_to_forget]
    if new_tokens is None:
        return asked
    return [replace(split, new_tokens=new_tokens) for split in asked]


def questions_of(
    model: "LanguageModel", target: "Target", new_tokens: int | None
) -> list[Questions]:
    """Those of each split whose replies are measured; without such a split those of the rows.

    Of each the first ones up to the tasks' limit.  A reply has `new_tokens` at most; None: as many
    as the split says, and 32 after a row.
    Raises `UserError` for a prompt that leaves the network no room for them.
    """
    splits = forget_questions(target.context.splits, new_tokens)
    if splits:
        return [_of_split(model, split.first(target.context.limit)) for split in splits]
    rows = target.forget_set.rows
    asked = rows.select(range(len(rows))[: target.context.limit])
    return [_of_rows(model, asked, new_tokens or ROW_TOKENS)]


def _of_split(model: "LanguageModel", split: "Split") -> Questions:
    from unlearnbench.metrics.items import check_prompts, encode_questions
    from unlearnbench.metrics.replies import compared_answers

    check_prompts(model, split)
    answers = compared_answers(model, split)
    prompts = encode_questions(model, split)
    questions = [
        Question(item.doc_id, tuple(prompt), answers[item.doc_id])
        for item, prompt in zip(split.items, prompts, strict=True)
    ]
    ends = end_tokens(model, split.template)
    return Questions(split.name, tuple(questions), split.new_tokens, split.stop, ends)


def _of_rows(model: "LanguageModel", rows: "Sequences", new_tokens: int) -> Questions:
    """A row's prefix, and as many tokens of its suffix as are written."""
    check_rows(model, rows, new_tokens)
    questions = []
    for row, doc_id in enumerate(rows.doc_ids):
        prompt = rows.input_ids[row, : int(rows.n_given[row])].tolist()
        suffix = rows.suffix(row)[:new_tokens]
        answer = texts_of(model, [suffix])[0]
        questions.append(Question(doc_id, tuple(prompt), answer, tuple(suffix)))
    return Questions("", tuple(questions), new_tokens)


def check_rows(model: "LanguageModel", rows: "Sequences", new_tokens: int) -> None:
    """Raise `UserError` for a row that cannot be continued, or has nothing to compare with."""
    for doc_id, n_given, length in zip(
        rows.doc_ids, rows.n_given.tolist(), rows.lengths.tolist(), strict=True
    ):
        if not n_given:
            raise UserError(
                f"row {doc_id!r:.60} gives no token to continue; give it a prefix, or leave it out"
            )
        if n_given >= length:
            raise UserError(
                f"row {doc_id!r:.60} has no suffix, so nothing that is drawn can be compared with "
                "it; give it one, or leave it out"
            )
        if n_given + new_tokens > model.max_length:
            raise UserError(
                f"row {doc_id!r:.60}: {n_given} given tokens and {new_tokens} new ones do not fit "
                f"the {model.max_length} of {model.source.name}; draw fewer: "
                f"--set sample.new_tokens={max(1, model.max_length - n_given)}"
            )


def texts_of(model: "LanguageModel", replies: Sequence[Sequence[int]]) -> list[str]:
    """The texts of token ids, without special tokens."""
    texts: list[str] = model.tokenizer.batch_decode(
        list(map(list, replies)), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return texts
