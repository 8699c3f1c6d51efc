"""Ids of contexts and continuations, exactly as lm-eval's interface to the library has them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnbench.models.language_model import LanguageModel

Ids = list[int]
_UNLIMITED = 10**30  # what the library's tokenizers say that know no limit
_DEFAULT_LENGTH = 2048  # where nobody says


def encode_requests(
    model: "LanguageModel", requests: Sequence[tuple[str, str]]
) -> list[tuple[Ids, Ids]]:
    """Ids of each context and of what of the whole text's ids follows them.

    Spaces at a context's end go to its continuation; an empty context is the tokenizer's first
    token, or its last one.  A part may come out empty.  Raises `UserError` without either token.
    """
    start = _start(model)
    split = [_moved(context, continuation) for context, continuation in requests if context]
    ids = _as_texts(model.tokenizer, start, (text for c, e in split for text in (c, c + e)))
    lone = [continuation for context, continuation in requests if not context]
    lone_ids = _ids(model.tokenizer, lone, add_special_tokens=False)
    behind = iter([(ids[c], ids[c + e][len(ids[c]) :]) for c, e in split])
    return [next(behind) if c else _after_start(start, lone_ids[e]) for c, e in requests]


def longest(model: "LanguageModel") -> int:
    """Tokens that lm-eval takes to be the network's context."""
    config = model.network.config.get_text_config()
    names = ("n_positions", "max_position_embeddings", "n_ctx")
    known = (getattr(config, name, None) for name in names)
    if (said := next((length for length in known if length is not None), None)) is not None:
        return int(said)
    said = getattr(model.tokenizer, "model_max_length", None)
    return int(said) if said is not None and said < _UNLIMITED else _DEFAULT_LENGTH


def _start(model: "LanguageModel") -> int:
    tokenizer = model.tokenizer
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise UserError(
        f"{model.source.name}'s tokenizer has neither a first nor a last token; lm-eval "
        "needs one of them: set bos_token or eos_token in tokenizer_config.json"
    )


def _moved(context: str, continuation: str) -> tuple[str, str]:
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _as_texts(
    tokenizer: "PreTrainedTokenizerBase", start: int, texts: Iterable[str]
) -> dict[str, Ids]:
    """Ids by text, with the special tokens the tokenizer adds, if the text has not the first."""
    unique = dict.fromkeys(texts)
    first = str(tokenizer.decode(start))
    bare = [text for text in unique if text.startswith(first)]
    others = [text for text in unique if not text.startswith(first)]
    return {
        **_ids(tokenizer, bare, add_special_tokens=False),
        **_ids(tokenizer, others, add_special_tokens=True),
    }


def _ids(
    tokenizer: "PreTrainedTokenizerBase", texts: list[str], add_special_tokens: bool
) -> dict[str, Ids]:
    if not texts:
        return {}
    encoded = tokenizer(texts, add_special_tokens=add_special_tokens, verbose=False)["input_ids"]
    return dict(zip(texts, map(list, encoded), strict=True))


def _after_start(start: int, ids: Ids) -> tuple[Ids, Ids]:
    return ([start], ids) if ids[:1] != [start] else (ids[:1], ids[1:])
