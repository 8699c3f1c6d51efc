"""What the summary keeps of one result, and the result made of it.

An entry has everything but the fields that come later (`records`): its own part, the
per-document outcomes packed, and references to what many results have in common.
"""

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from unlearnbench.results.partly_read import Outcomes, Rest, StoredResult
from unlearnbench.results.record import Result
from unlearnbench.results.result_file import LONG_PARTS, Stamp

# The same in all results of a run, or nearly: kept once, in the file and in memory.
COMMON_FIELDS = ("model", "method", "protocol", "stop", "sets", "metrics", "environment")
FIELDS_WITH_COMMON_PARTS = ("identity", "forget_set")
SHORTEST_COMMON_PART = 100  # bytes; a reference to it is no longer than half of that


class Entry(NamedTuple):
    """One result in the summary."""

    stamp: Stamp
    own: bytes  # JSON of the fields, null where it has a reference, and of the references
    packed_outcomes: bytes


@dataclass
class Common:
    """JSON that several results have in common, by its digest; read once."""

    texts: dict[str, bytes] = field(default_factory=dict)
    _values: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    def add(self, text: bytes) -> str:
        """Keep a text; its digest."""
        digest = sha256(text).hexdigest()[:32]
        self.texts[digest] = text
        return digest

    def value(self, digest: str, name: str = "") -> Any:
        """The value with that digest; as a result's field of that name, its validated records."""
        if (digest, name) not in self._values:
            value = from_json(self.texts[digest])
            self._values[digest, name] = _as_field(name, value) if name else value
        return self._values[digest, name]


def entry_of(result: Result, stamp: Stamp, common: Common) -> Entry:
    """The entry of a result that was read in full."""
    fields = result.model_dump(exclude=LONG_PARTS)
    references: dict[str, Any] = {
        name: _take_out(fields[name], common) for name in FIELDS_WITH_COMMON_PARTS
    }
    for name in COMMON_FIELDS:
        references[name] = common.add(_json(fields[name]))
        fields[name] = None  # holds the field's place
    return Entry(stamp, _json([fields, references]), packed(_outcomes(result)))


def result_of(path: Path, entry: Entry, common: Common) -> StoredResult:
    """The result of an entry; raises ValueError or LookupError if it is none."""
    fields, references = from_json(entry.own)
    for name in FIELDS_WITH_COMMON_PARTS:
        _put_back(fields[name], references[name], common.value)
    for name in COMMON_FIELDS:
        fields[name] = common.value(references[name], name)
    result = StoredResult.model_validate(fields, strict=True)
    result.leave_to(Rest(path, entry.stamp, entry.packed_outcomes))
    return result


def packed(outcomes: Outcomes) -> bytes:
    """Per-document outcomes in about a quarter of their JSON, without line ends or tabs."""
    return base64.b64encode(zlib.compress(_json(outcomes), level=1))


def unpacked(text: bytes) -> Outcomes:
    """What was packed."""
    outcomes: Outcomes = from_json(zlib.decompress(base64.b64decode(text)))
    return outcomes


def _outcomes(result: Result) -> Outcomes:
    return {
        task: {metric: score.documents for metric, score in by_metric.items()}
        for task, by_metric in result.scores.items()
    }


def _take_out(fields: dict[str, Any], common: Common) -> dict[str, str]:
    """Put the long parts among what is common; references to them by name."""
    references = {}
    for name, value in fields.items():
        if isinstance(value, dict | list) and len(text := _json(value)) > SHORTEST_COMMON_PART:
            references[name] = common.add(text)
    fields.update(dict.fromkeys(references))
    return references


def _put_back(
    fields: dict[str, Any], references: dict[str, str], value: Callable[[str], Any]
) -> None:
    for name, digest in references.items():
        fields[name] = value(digest)


def _as_field(name: str, value: Any) -> Any:
    annotation: Any = Result.model_fields[name].annotation
    return TypeAdapter[Any](annotation).validate_python(value, strict=True)


def _json(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="constants")
