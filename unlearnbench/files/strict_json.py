"""JSON of any origin, read so that nothing is dropped, guessed or lets a later step fail."""

import json
import re
from itertools import accumulate
from typing import Any

DEEPEST = 200  # lists and objects within each other; Python itself gives up at about 1000
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')  # of valid JSON
_BRACKETS = re.compile(r"[\[\]{}]")


class RepeatedNameError(ValueError):
    """A name that an object has twice; the second value would silently replace the first."""

    def __init__(self, name: str) -> None:
        super().__init__(f"'{name:.40}' stands there twice")
        self.name = name


def parsed(text: str | bytes) -> Any:
    """The value that a JSON text stands for; NaN and the infinities are numbers.

    Raises `RepeatedNameError`, and `ValueError` in one line for what is not JSON, is nested too
    deep, or holds half a character (a lone surrogate).
    """
    read = text if isinstance(text, str) else text.decode()
    try:
        value = json.loads(read, object_pairs_hook=_without_repeated_names)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if read.count("[") + read.count("{") > DEEPEST:
        steps = [1 if sign in "[{" else -1 for sign in _BRACKETS.findall(_TEXT.sub("", read))]
        if max(accumulate(steps)) > DEEPEST:
            raise ValueError("nested too deep")
    # Only an escape can make half a character: the text itself is Unicode.
    if "\\ud" in read.lower():
        _check_characters(value)
    return value


def _without_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise RepeatedNameError(next(name for name in names if names.count(name) > 1))
    return fields


def _check_characters(value: Any) -> None:
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError as error:
        half = ascii(written[error.start])[1:-1]
        raise ValueError(f"{half} is half a character; write both halves or neither") from error


def first_error(error: ValueError) -> str:
    """What does not fit, in one line: of a pydantic error the first field, and why."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = " ".join(".".join(map(str, first["loc"])).split())
    return f"{place:.200}: {first['msg']}" if place else str(first["msg"])


def canonical(identity: Any) -> str:
    """JSON with one way to write each value: sorted names, no spaces."""
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
