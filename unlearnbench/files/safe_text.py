"""Texts of anybody's, made harmless to show: nothing in them acts on a terminal or hides."""

import os
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from unlearnbench.errors import UserError

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


# OPENAI_API_KEY, HF_TOKEN, DB_PASSWORD, KEY_2; not TOKENIZERS_PARALLELISM or KEYBOARD.
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?(_|\d|$)")


_SHORTEST = 8  # a shorter value ('EMPTY', 'false') is no secret, and may be any word


_PASSWORD_IN_ADDRESS = re.compile(r"(://)[^/?#@\s]+@")


def secret_values(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment's variables that hold a secret by their name, the longest value first."""
    known = os.environ if environment is None else environment
    found = {
        name: value.strip()
        for name, value in known.items()
        if _SECRET.search(name.upper()) and len(value.strip()) >= _SHORTEST
    }
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text with every secret of the environment struck out, and passwords in addresses.

    >>> redact("401: bad key sk-123456789", {"OPENAI_API_KEY": "sk-123456789"})
    '401: bad key [OPENAI_API_KEY]'
    """
    for name, value in secret_values(environment).items():
        text = text.replace(value, f"[{name}]")
    return _PASSWORD_IN_ADDRESS.sub(r"\1[password]@", text)


def without_folders(value: Any) -> Any:
    """The value, or each text in it, with a file by its name alone: where it lies is private.

    >>> without_folders({"file": "/home/ann/refusals.txt", "alpha": 0.5})
    {'file': 'refusals.txt', 'alpha': 0.5}
    """
    if isinstance(value, Mapping):
        return {name: without_folders(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_folders(part) for part in value)
    is_path = isinstance(value, str) and value.startswith(("/", "~", "./", "../"))
    return PurePath(value).name if is_path else value


def check_absent(
    options: Mapping[str, object], environment: Mapping[str, str] | None = None
) -> None:
    """Raises `UserError` if an option's value, or one of several, by its flag, holds a secret."""
    secrets = secret_values(environment)
    for flag, given in options.items():
        several = given if isinstance(given, list | tuple) else [given]
        for text in (value for value in several if isinstance(value, str)):
            held = next((name for name, value in secrets.items() if value in text), None)
            if held is not None:
                raise UserError(
                    f"{flag} holds the value of {held}, and options are stored with the results; "
                    "leave it in the environment"
                )
            if _PASSWORD_IN_ADDRESS.search(text):
                raise UserError(
                    f"{flag} holds a password in an address, and options are stored with the "
                    "results; leave it out"
                )
