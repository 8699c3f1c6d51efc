"""What a model writes after the questions of splits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearnbench.data.templates import end_tokens
from unlearnbench.metrics.items import check_prompts, encode_questions
from unlearnbench.models.generation.replies import continue_prompts
from unlearnbench.models.vocabulary import encode_continuations

if TYPE_CHECKING:
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel

_Asked = tuple[tuple[int, ...], int, tuple[str, ...], frozenset[int]]


def written_replies(
    model: "LanguageModel", splits: Sequence["Split"], batch_size: int = 16
) -> list[dict[str, str]]:
    """Each split's greedy replies by doc_id, outer spaces left out.

    A reply ends at an end of sequence, at the chat template's end of turn, and before a stop
    text.  What several items ask in the same words is written once.
    Raises `UserError` for a prompt that leaves the network no room for a reply.
    """
    requested = [_asked(model, split) for split in splits]
    written = _written(model, list(dict.fromkeys(a for of in requested for a in of)), batch_size)
    return [
        {item.doc_id: written[a] for item, a in zip(split.items, of, strict=True)}
        for split, of in zip(splits, requested, strict=True)
    ]


def compared_answers(model: "LanguageModel", split: "Split") -> dict[str, str]:
    """What replies are compared with, by doc_id: answers, or as many tokens of them as a reply's.

    MUSE compares a continuation with so much of the text, cut by the model's own tokens.
    """
    answers = {item.doc_id: item.answer for item in split.items}
    if not split.cut:
        return answers
    tokens = encode_continuations(model.tokenizer, list(answers.values()))
    cut = (model.decode(ids[: split.new_tokens]) for ids in tokens)
    return dict(zip(answers, cut, strict=True))


def _asked(model: "LanguageModel", split: "Split") -> list[_Asked]:
    check_prompts(model, split)
    prompts = encode_questions(model, split)
    ends = end_tokens(model, split.template)
    return [(tuple(ids), split.new_tokens, split.stop, ends) for ids in prompts]


def _written(
    model: "LanguageModel", requested: Sequence[_Asked], batch_size: int
) -> dict[_Asked, str]:
    """What follows each prompt; those that end alike go through the network together."""
    alike: dict[tuple[int, tuple[str, ...], frozenset[int]], list[_Asked]] = {}
    for each in requested:
        alike.setdefault(each[1:], []).append(each)
    written: dict[_Asked, str] = {}
    for (new_tokens, stop, ends), own in alike.items():
        prompts = [list(ids) for ids, *_ in own]
        replies = continue_prompts(model, prompts, new_tokens, stop, ends, batch_size)
        written |= zip(own, (reply.strip() for reply in replies), strict=True)
    return written
