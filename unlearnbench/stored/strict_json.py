"""JSON as this program writes it: UTF-8, one value, no name twice."""

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def read_regular(path: Path) -> bytes:
    """The content of a file; raises `OSError` also for a pipe, which would wait for a writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a file", str(path))
        return file.read()


def parsed(content: bytes) -> Any:
    """The value of a JSON text; raises `ValueError` in one line for what is none.

    NaN and the infinities are numbers, as in all files here.  A name that an object has twice
    is refused: one of the two values would be dropped unseen.
    """
    from pydantic_core import from_json

    value = from_json(content)  # stricter on Unicode and depth than the standard library
    refuse_repeated_names(content)
    return value


def refuse_repeated_names(content: bytes) -> None:
    """Raise `ValueError` if an object of a JSON text has a name twice."""
    json.loads(content.decode(), object_pairs_hook=_without_repeated_names)


def _without_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{twice:.40}' stands there twice")
    return found


def first_error(error: "ValidationError") -> str:
    """The first field that does not fit, and why, in one line whatever its name is."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = " ".join(".".join(map(str, first["loc"])).split())
    return f"{place:.200}: {first['msg']}" if place else str(first["msg"])
