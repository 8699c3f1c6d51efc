"""The two files of a result: a header of some kilobytes, and the documents.

KEY.json                           the header: all that a table needs, and two digests
KEY.<digest>.documents.jsonl.gz    the documents, whose digest the header names

The header's first field is the digest of the lines below it, and the second that of the
documents, so a file that was damaged, cut short or edited is noticed without looking into it.
The documents are JSON lines: the outcomes of every score; then all texts; then one line per epoch
of the trace, with its rows.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular
from unlearnbench.results.record import SCHEMA_VERSION, Result, key_of
from unlearnbench.results.upgrades import STEPS, upgraded

DOCUMENTS = ".documents.jsonl.gz"  # the end of a documents file's name
# Enough for the rows of a large table side by side, little enough on a walk over thousands.
N_KEPT_IN_FULL = 128
_EACH = "__all__"
_DOCUMENTS: Any = {
    "forget_set": {"prefixes", "suffixes"},
    "scores": {_EACH: {_EACH: {"documents", "outputs"}}},
    "trace": {"epochs": {_EACH: {"rows"}}},
    "continuations": True,
}
#: What comes of a text that is not what a result, or its documents, are made of.
_UNFIT = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError),
    *(EOFError, OSError, zlib.error),
)


@dataclass(frozen=True)
class Damage:
    """A file among the results that is not one, and why."""

    path: Path
    reason: str


class Written(NamedTuple):
    """A result's two files before they are written."""

    header: bytes
    documents_name: str
    documents: bytes


class _Unreadable(Exception):
    """Why a file is no result."""


# ---- writing


def written(result: Result) -> Written:
    """The content of a result's files."""
    lines = b"\n".join(map(_json, _document_lines(result.in_full())))
    documents = gzip.compress(lines, 6, mtime=0)  # without the time, so the same ones are equal
    digest = sha256(documents).hexdigest()
    text = result.model_dump_json(indent=1, exclude=_DOCUMENTS)
    body = f' "documents_sha256": "{digest}",\n{text[2:]}'.encode()
    return Written(_sealed(body), documents_name(result.key, digest), documents)


def documents_name(key: str, digest: str) -> str:
    """The name of a documents file: writers of one cell never overwrite each other's."""
    return f"{key}.{digest[:12]}{DOCUMENTS}"


def _sealed(body: bytes) -> bytes:
    return b'{\n "header_sha256": "' + sha256(body).hexdigest().encode() + b'",\n' + body


def _document_lines(result: Result) -> Iterator[Any]:
    scores = result.scores
    yield {t: {m: s.documents for m, s in each.items()} for t, each in scores.items()}
    yield {
        "prefixes": result.forget_set.prefixes,
        "suffixes": result.forget_set.suffixes,
        "continuations": result.continuations,
        "outputs": {t: {m: s.outputs for m, s in each.items()} for t, each in scores.items()},
    }
    for epoch in result.trace.epochs if result.trace is not None else ():
        yield [row.model_dump() for row in epoch.rows]


def _json(value: Any) -> bytes:
    from pydantic_core import to_json

    return to_json(value, inf_nan_mode="constants")


# ---- reading


def read_file(path: Path, documents: bool = True) -> Result | Damage:
    """The result whose header that is, or what is wrong with it or its documents.

    The documents' digest is checked in any case; without `documents` they are left where they
    are until `Result.with_outcomes` or `Result.in_full` reads them.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        return Damage(path, f"cannot be read: {error.strerror}")
    try:
        result = _result(path, content, documents)
    except _Unreadable as why:
        return Damage(path, str(why))
    if not documents:
        result.leave_documents(_Documents(path, sha256(content).hexdigest()))
    return result


def is_older(path: Path) -> bool:
    """Whether a file says that it is a result of an older version."""
    try:
        return bool(_raw(read_regular(path))["schema_version"] in STEPS)
    except (OSError, _Unreadable):
        return False


def fault_in(result: Result) -> str | None:
    """Why a result could not be read again once it is written; None if it can be."""
    try:
        _validated(_raw(result.model_dump_json().encode()))
    except _Unreadable as why:
        return str(why)
    return None


@dataclass(frozen=True)
class _Documents:
    """The documents of a result that was read without them."""

    path: Path  # of the header
    sha256: str  # of the whole header, so that another result's are never mixed with it

    def __call__(self) -> Result:
        return _read_again(self.path, self.sha256)


@lru_cache(N_KEPT_IN_FULL)
def _read_again(path: Path, digest: str) -> Result:
    try:
        content = read_regular(path)
        if sha256(content).hexdigest() == digest:
            return _result(path, content, documents=True)
    except (OSError, _Unreadable):
        pass
    raise UserError(f"{path} changed while it was being reported; run the same command again")


def _result(path: Path, content: bytes, documents: bool) -> Result:
    """The result in a header and the file beside it; raises `_Unreadable`."""
    raw = _raw(content)
    is_in_one_piece = raw["schema_version"] in STEPS
    if is_in_one_piece:
        try:
            raw = upgraded(parsed(content))  # parsed strictly, as there is no digest
        except _UNFIT as error:
            raise _Unreadable(f"damaged: {_in_one_line(error)}") from error
    else:
        _, _, rest = content.partition(b"\n")
        if content != _sealed(rest.partition(b"\n")[2]):
            raise _Unreadable("damaged: its content is not that of its digest: edited or cut")
        del raw["header_sha256"]
        lines = _checked_documents(path, str(raw.pop("documents_sha256", "")))
        if documents:
            _put_in(raw, lines)
    result = _validated(raw)
    if result.key != path.stem or result.key != key_of(result.identity):
        raise _Unreadable("the key is not that of its content; the file was edited or renamed")
    if is_in_one_piece and not documents:
        return Result.model_validate(result.model_dump(exclude=_DOCUMENTS))
    return result


def _raw(content: bytes) -> dict[str, Any]:
    """The JSON of a file that says which version of a result it is."""
    from pydantic_core import from_json

    if not content:
        raise _Unreadable("damaged: the file is empty")
    try:
        raw = from_json(content)
    except _UNFIT as error:
        raise _Unreadable(f"damaged: {_in_one_line(error)}") from error
    if not isinstance(raw, dict):
        raise _Unreadable(f"not a result: it holds {_KINDS.get(type(raw), 'a number')}")
    if "schema_version" not in raw:
        raise _Unreadable("not a result: it has no schema_version")
    version = raw["schema_version"]
    if type(version) is not int:
        raise _Unreadable(f"not a result: schema_version is {version!r:.40}")
    if version != SCHEMA_VERSION and version not in STEPS:
        age = "an older" if version < SCHEMA_VERSION else "a newer"
        raise _Unreadable(
            f"schema version {version} of {age} unlearnbench; this one reads {min(STEPS)} to "
            f"{SCHEMA_VERSION} and can measure it again: unlearnbench run"
        )
    return raw


_KINDS = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}


def _checked_documents(path: Path, digest: str) -> bytes:
    """The content of the documents file beside a header, which has that digest."""
    name = documents_name(path.stem, digest)
    try:
        content = read_regular(path.with_name(name))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no file name"
        raise _Unreadable(f"its documents cannot be read: {name}: {why}") from error
    if sha256(content).hexdigest() != digest:
        raise _Unreadable(f"its documents are damaged: {name}")
    return content


def _put_in(raw: dict[str, Any], documents: bytes) -> None:
    """Put the documents where they belong in a header's JSON."""
    from pydantic_core import from_json

    try:
        outcomes, texts, *epochs = map(from_json, gzip.decompress(documents).split(b"\n"))
        for name, by_task in (("documents", outcomes), ("outputs", texts["outputs"])):
            for task, by_metric in by_task.items():
                for metric, value in by_metric.items():
                    raw["scores"][task][metric][name] = value
        raw["continuations"] = texts["continuations"]
        raw["forget_set"] |= {name: texts[name] for name in ("prefixes", "suffixes")}
        of_trace = raw["trace"]["epochs"] if raw.get("trace") is not None else []
        for epoch, rows in zip(of_trace, epochs, strict=True):
            epoch["rows"] = rows
    except _UNFIT as error:
        raise _Unreadable(f"its documents do not fit it: {_in_one_line(error)}") from error


def _validated(raw: Any) -> Result:
    """The result in JSON of the current version."""
    from pydantic import ValidationError

    try:
        # Strictly: a file of ours has no text where a number belongs, and no other fields.
        return Result.model_validate(raw, strict=True, extra="forbid")
    except ValidationError as error:
        raise _Unreadable(f"not a result: {first_error(error)}") from error
    except RecursionError as error:
        raise _Unreadable("damaged: nested too deep") from error


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
