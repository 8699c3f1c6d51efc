"""One result file in full: the result, or what is wrong with the file."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unlearnbench.result import SCHEMA_VERSION, Result

LARGEST_INTEGER = 2**63 - 1

_EACH = "__all__"
#: The parts of a result that no table looks at, and nine tenths of its size.
LONG_PARTS: Any = {
    "forget_set": {"prefixes", "suffixes"},
    "scores": {_EACH: {_EACH: {"documents", "outputs"}}},
    "trace": {"epochs": {_EACH: {"rows"}}},
}


@dataclass(frozen=True)
class Damage:
    """A file among the results that is not one, and why."""

    path: Path
    reason: str


class Stamp(NamedTuple):
    """What changes whenever a file does: bytes, and nanoseconds of its two times of change.

    The second is the file system's own, which nobody can set back.
    """

    size: int
    content_changed: int
    anything_changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """The stamp in a file's status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class StampedResult(NamedTuple):
    """A result and the stamp of the very file it was read from."""

    result: Result
    stamp: Stamp


def read_file(path: Path) -> StampedResult | Damage:
    """The result in a file, checked in every part, or what is wrong with it."""
    try:
        status, content = _content(path)
    except OSError as error:
        return Damage(path, f"cannot be read: {error.strerror}")
    if content is None:
        return Damage(path, "not a file")
    if not content:
        return Damage(path, "damaged: the file is empty")
    found = _result(path, content)
    return found if isinstance(found, Damage) else StampedResult(found, Stamp.of(status))


def _content(path: Path) -> tuple[os.stat_result, bytes | None]:
    """Status and content of what is open, whatever takes its name in between; None: no file."""
    # Without O_NONBLOCK a pipe would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        return status, file.read() if stat.S_ISREG(status.st_mode) else None


def _result(path: Path, content: bytes) -> Result | Damage:
    from pydantic import ValidationError
    from pydantic_core import from_json

    from unlearnbench.identity import key_of

    try:
        raw = from_json(content)
        if (foreign := _foreign(raw)) is not None:
            return Damage(path, foreign)
        # Strictly: a file of ours has no text where a number belongs, and no other fields.
        result = Result.model_validate(raw, strict=True, extra="forbid")
        key = key_of(result.identity)
        if _has_huge_integer(result.model_dump(exclude=LONG_PARTS)):
            return Damage(path, "damaged: a whole number of more than 64 bits")
        if not isinstance(result.protocol.get("perplexity_cap"), int | float | None):
            return Damage(path, "not a result: protocol.perplexity_cap: not a number")
        if (misshapen := _misshapen(result.identity)) is not None:
            return Damage(path, f"not a result: identity.{misshapen}: not a table of names")
    except ValidationError as error:
        return Damage(path, _first_error(error))
    except (ValueError, RecursionError) as error:
        return Damage(path, f"damaged: {error}")
    if result.key != path.stem or result.key != key:
        return Damage(path, "the key is not that of its content; the file was edited or renamed")
    return result


def _foreign(raw: Any) -> str | None:
    if not isinstance(raw, dict):
        return f"not a result: it holds {_KINDS.get(type(raw), 'a number')}"
    if "schema_version" not in raw:
        return "not a result: it has no schema_version"
    version = raw["schema_version"]
    if type(version) is not int:
        return f"not a result: schema_version is {version!r:.40}"
    if version == SCHEMA_VERSION:
        return None
    age = "an older" if version < SCHEMA_VERSION else "a newer"
    return (
        f"schema version {version} of {age} unlearnbench; this one reads {SCHEMA_VERSION} "
        "and can measure it again: unlearnbench run"
    )


def _misshapen(identity: dict[str, Any]) -> str | None:
    """Which of an identity's parts that tables read is of another shape; the rest is free."""
    parts = {name: identity.get(name) for name in ("tasks", "texts", "sets", "encoders")}
    if isinstance(parts["tasks"], dict):
        settings = parts["tasks"].get("settings")
        parts["tasks.settings"] = settings
        if isinstance(settings, dict):
            parts |= {f"tasks.settings.{name}": value for name, value in settings.items()}
    parts["forget_set"] = identity.get("forget_set")
    return next((n for n, part in parts.items() if not isinstance(part, dict | None)), None)


_KINDS = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}


def _first_error(error: Any) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"not a result: {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _has_huge_integer(value: Any) -> bool:
    """Whether a number of a JSON value is beyond 64 bits: nothing can be computed with it."""
    if type(value) is int:
        return abs(value) > LARGEST_INTEGER
    if isinstance(value, dict):
        return any(map(_has_huge_integer, value.values()))
    return isinstance(value, list) and any(map(_has_huge_integer, value))
