"""One result file in full: the result, or what is wrong with the file."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_with_status
from unlearnbench.results.contradictions import contradiction
from unlearnbench.results.identity import key_of
from unlearnbench.results.record import SCHEMA_VERSION, Result
from unlearnbench.results.version_1 import complete_measurements

LARGEST_INTEGER = 2**63 - 1

_EACH = "__all__"
#: The parts of a result that no table looks at, and nine tenths of its size.
LONG_PARTS: Any = {
    "forget_set": {"prefixes", "suffixes"},
    "scores": {_EACH: {_EACH: {"documents", "outputs"}}},
    "continuations": True,
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
        content, status = read_with_status(path)
    except OSError as error:
        return Damage(path, f"cannot be read: {error.strerror}")
    if not content:
        return Damage(path, "damaged: the file is empty")
    found = _result(path, content)
    return found if isinstance(found, Damage) else StampedResult(found, Stamp.of(status))


def fault_in(result: Result) -> str | None:
    """Why a result could not be read again once it is written; None if it can be."""
    found = _result(Path(f"{result.key}.json"), result.model_dump_json(indent=1).encode())
    return found.reason if isinstance(found, Damage) else None


def _result(path: Path, content: bytes) -> Result | Damage:
    from pydantic import ValidationError
    from pydantic_core import from_json

    try:
        raw = from_json(content)
        if (foreign := _foreign(raw)) is not None:
            return Damage(path, foreign)
        with suppress(LookupError, TypeError, AttributeError, ArithmeticError):
            raw = complete_measurements(raw)  # else the validation says what is wrong
        # Strictly: a file of ours has no text where a number belongs, and no other fields.
        result = Result.model_validate(raw, strict=True, extra="forbid")
        wrong = _misfit(result) or contradiction(result)
        key = key_of(result.identity)
        # What is written as we write it repeats no name, and looking for that takes as long again.
        if wrong is None and content != _as_written(result):
            parsed(content)
    except ValidationError as error:
        return Damage(path, f"not a result: {first_error(error)}")
    except (ValueError, RecursionError) as error:
        return Damage(path, f"damaged: {' '.join(str(error).split())}")
    if result.key != path.stem or result.key != key:
        return Damage(path, "the key is not that of its content; the file was edited or renamed")
    return result if wrong is None else Damage(path, f"not a result: {wrong}")


def _as_written(result: Result) -> bytes:
    """The file that this result was read from, if it was written as we write."""
    # An older version's file lacks the fields that came later.
    return result.model_dump_json(indent=1, exclude_unset=True).encode()


def _misfit(result: Result) -> str | None:
    """What of the parts that any value fits into is of a shape that no table can show."""
    if _has_huge_integer(result.model_dump(exclude=LONG_PARTS)):
        return "a whole number of more than 64 bits"
    cap = result.protocol.get("perplexity_cap")
    if cap is not None and not (type(cap) in (int, float) and cap > 0):
        return "protocol.perplexity_cap: not a number above 0"
    misshapen = _misshapen(result.identity)
    return None if misshapen is None else f"identity.{misshapen}"


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
    parts = {name: identity.get(name) for name in (*_OF_TEXTS, "tasks", "forget_set")}
    if isinstance(parts["tasks"], dict):
        settings = parts["tasks"].get("settings")
        parts["tasks.settings"] = settings
        if isinstance(settings, dict):
            parts |= {f"tasks.settings.{name}": value for name, value in settings.items()}
    for name, part in parts.items():
        if not isinstance(part, dict | None):
            return f"{name}: not a table of names"
        if name in _OF_TEXTS and not all(isinstance(text, str) for text in (part or {}).values()):
            return f"{name}: a digest that is no text"
    sha256 = (parts["forget_set"] or {}).get("sha256")
    return None if isinstance(sha256, str | None) else "forget_set.sha256: not a text"


_OF_TEXTS = ("texts", "sets", "encoders")  # digests by name
_KINDS = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}


def _has_huge_integer(value: Any) -> bool:
    """Whether a number of a JSON value is beyond 64 bits: nothing can be computed with it."""
    if type(value) is int:
        return abs(value) > LARGEST_INTEGER
    if isinstance(value, dict):
        return any(map(_has_huge_integer, value.values()))
    return isinstance(value, list) and any(map(_has_huge_integer, value))
