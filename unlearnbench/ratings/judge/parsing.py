"""From a judge's reply to its score: tolerant in form, never a guess."""

import re
from typing import NamedTuple

LOWEST, HIGHEST = 0.0, 10.0

# Characters that nobody sees, such as a space of no width: '7\u200b5' reads as 75.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
# What marks text up without meaning anything: **9**, `9`, "9", \boxed{9}, [9], $9$.
_DECORATION = re.compile(r"\\(?:boxed|text|mathbf)|[*_`#\"'“”‘’{}\[\]$\\]")
_SPACE = re.compile(r"\s+")

_NAME = r"(?:score|rating|grade)"
_FINAL = rf"\bfinale?\s*(?:overall\s+|total\s+|evaluation\s+)?{_NAME}\b"
_SCALE = r"(?:\s*\([^)\n]*\))?(?:\s+out\s+of\s+(?:10|ten))?"  # 'Final score (0-10):'
_SIGN = r"(?:\s+(?:is|was))?\s*[:=]"
_VERB = r"\s*(?:\s(?:is|of|was|would\s+be|will\s+be)\s|[-–—]\s|\s)\s*(?=\(?\.?[0-9])"
_OWNER = r"\b(?:an?|my|the|its|overall|total)\s+(?:overall\s+|total\s+)?"

# The strictest kind that occurs decides: 'Final score: 6.  A final score of 10 would need …'.
_FINAL_STATEMENTS = (re.compile(_FINAL + _SCALE + _SIGN, re.I), re.compile(_FINAL + _VERB, re.I))
_OTHER_STATEMENTS = re.compile(
    rf"^\s?(?:overall\s+|total\s+|my\s+)?{_NAME}{_SCALE}{_SIGN}|(?:^\s?|{_OWNER}){_NAME}{_VERB}"
    r"|^\s?(?=[0-9]{1,2}(?:\.[0-9]{1,6})?\s?(?:/|out\s+of)\s?(?:10|ten)\s?\.?\s?$)"
    r"|\A\s?(?=[0-9]{1,2}(?:\.[0-9]{1,6})?\s?\.?\s?\Z)",
    re.IGNORECASE | re.MULTILINE,
)

_NUMBER = re.compile(r"\s*\(?\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)")
_OUT_OF = re.compile(r"\s*(?:/|out\s+of)\s*(?:a\s+(?:possible|maximum\s+of)\s+)?", re.I)
_TEN = re.compile(r"(?:10(?:\.0+)?|ten)(?![\w%]|\.[0-9])", re.I)
# What makes the number before it another number, or one of several: 7-8, 7 or 8, 7.5.2, 70%.
_BETWEEN = r"[-‐‑‒–—―⸺⸻﹘﹣－−~〜～…→⇒±,;:&|/+.·٫٬،．，､、⁄∕／]"
_MORE = re.compile(
    rf"[\w+]|-\w|[ \t]*(?:[%‰٪％﹪]|percent\b|{_BETWEEN}[ \t]*\.?\d"
    r"|(?:to|and|through)[ \t]+\.?\d|or\b|\.?\d)",
    re.IGNORECASE,
)


class _Value(NamedTuple):
    score: float
    end: int  # where the text after it begins


def parse_score(reply: str, *, cut_off: bool = False) -> float | None:
    """The score from 0 to 10 that a reply states, or None if it states none beyond doubt.

    The last statement of a *final* score counts; without one, any other statement of a
    score if all of them agree.  With `cut_off`, the reply ended at the token limit: a number
    at its very end may be half of one ('1' of '10') and is no score.
    """
    text = _plain(reply)
    for statements in _FINAL_STATEMENTS:
        found = list(statements.finditer(text))
        if found:
            return _value_at(text, found[-1].end(), cut_off)
    values = {_value_at(text, m.end(), cut_off) for m in _OTHER_STATEMENTS.finditer(text)}
    return values.pop() if len(values) == 1 else None


def _plain(reply: str) -> str:
    """The answer without decoration; one character for any run of white space.

    What a model thinks aloud before it answers is no answer, least of all where it was cut
    off; some servers leave out the opening tag.
    """
    answer = reply.rpartition("</think>")[2].partition("<think>")[0]
    bare = _DECORATION.sub(" ", _UNSEEN.sub("", answer))
    return _SPACE.sub(lambda run: "\n" if "\n" in run[0] else " ", bare)


def _value_at(text: str, start: int, cut_off: bool) -> float | None:
    value = _number_at(text, start)
    if value is None or not LOWEST <= value.score <= HIGHEST:
        return None
    if _MORE.match(text, value.end) or (cut_off and not text[value.end :].strip(" \n.")):
        return None
    return value.score


def _number_at(text: str, start: int) -> _Value | None:
    """The number there, with the scale that may follow it; None if the scale is not 10."""
    number = _NUMBER.match(text, start)
    if number is None:
        return None
    scale = _OUT_OF.match(text, number.end())
    if scale is None:
        return _Value(float(number[1]), number.end())
    ten = _TEN.match(text, scale.end())
    return _Value(float(number[1]), ten.end()) if ten else None
