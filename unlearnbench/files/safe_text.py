"""Texts of anybody's, made harmless to show: nothing in them acts on a terminal or hides."""

import re

# What shows nothing, turns the direction of the rest, breaks a line unseen, or cannot be written.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The text with every sign that one cannot see, or that would reorder the rest, shown.

    Tabs and line ends stay; an escape sequence is a picture of its first sign and plain text.
    """
    return _UNSEEN.sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of control characters
    return "\ufffd" if 0xD800 <= code < 0xE000 else f"⟨U+{code:04X}⟩"
