"""A conversation as the text a model continues: 'User 1: ...', 'User 2: ...', by turns."""

from collections.abc import Sequence

SPEAKER = "\nUser "  # where a new turn begins, and therefore where a reply ends

# ParlAI's marks as they stand apart in tokenised text, and as they stand in written text.
_MARKS = ((" .", "."), (" ,", ","), (" ?", "?"), (" !", "!"), (" ' ", "'"))
_FIRST_PERSON = ("i", "i'm", "i've", "i'll", "i'd")
_SENTENCE_END = "?.!"


def conversation_prompt(turns: Sequence[str]) -> tuple[str, str]:
    """What the model reads, and the reply it is compared with: the last turn.

    Turns are normalised; the prompt ends with the tag of the one who replies, without a space.
    """
    *said, reply = (normalize_reply(turn) for turn in turns)
    lines = [f"User {_speaker(at)}: {turn}" for at, turn in enumerate(said)]
    return "\n".join([*lines, f"User {_speaker(len(said))}:"]), reply


def normalize_reply(text: str) -> str:
    """Lower case but for sentence starts and 'I', no space before punctuation.

    Equal to version 1 of `parlai.utils.strings.normalize_reply` (ParlAI 1.7.2) for every text.
    """
    spaced = text.lower()
    for apart, written in _MARKS:
        spaced = spaced.replace(written, apart).replace("  ", " ")
    words = spaced.split(" ")
    started = (_upper_first(w) if _is_upper(words, at) else w for at, w in enumerate(words))
    joined = f" {' '.join(started)} "
    for apart, written in _MARKS:
        joined = joined.replace(apart, written)
    return joined.strip().replace("  ", " ")


def _speaker(turn: int) -> int:
    return 1 + turn % 2


def _is_upper(words: Sequence[str], at: int) -> bool:
    if at == 0 or words[at] in _FIRST_PERSON:
        return True
    # An empty word (of two spaces) counts as a sentence's end as well; the first word never does.
    return at > 1 and words[at - 1] in _SENTENCE_END


def _upper_first(word: str) -> str:
    return word[:1].upper() + word[1:]
