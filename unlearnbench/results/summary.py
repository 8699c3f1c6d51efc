"""The summary: one file of entries beside the results, written whole, checked as a whole.

It holds nothing that the result files do not: deleting it costs time, never a number.  An entry
counts only while its file has the stamp the entry was made from.

    {"summary": 1, "results": <digest of their schema>, "sha256": <of what follows>}
    {<digest>: <JSON that several results have in common>, ...}
    <file> TAB <stamp> TAB <own part> TAB <packed outcomes>      one line per result
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_whole
from unlearnbench.results.entry import Common, Entry
from unlearnbench.results.record import Result
from unlearnbench.results.result_file import Stamp

FORMAT = 1
#: What comes of a text that is not what an entry, or the summary, is made of.
NO_ENTRY = (ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError)


@dataclass
class Summary:
    """The entries of a folder, by file name."""

    entries: dict[str, Entry] = field(default_factory=dict)
    common: Common = field(default_factory=Common)

    def add(self, other: "Summary") -> None:
        """Take in the entries of another one."""
        self.entries.update(other.entries)
        self.common.texts.update(other.common.texts)

    def keep_current(self, stamps: Mapping[str, Stamp | None]) -> None:
        """Leave out every entry whose file is not, or no longer, the one with that stamp."""
        self.entries = {n: e for n, e in self.entries.items() if stamps.get(n) == e.stamp}


def read_summary(path: Path) -> Summary:
    """The summary in a file; an empty one for any file that is not whole and of this version."""
    try:
        header, _, body = path.read_bytes().partition(b"\n")
        if json.loads(header) != _header(body):
            return Summary()
        lines = iter(body.split(b"\n"))
        common = {digest: text.encode() for digest, text in json.loads(next(lines)).items()}
        return Summary(dict(_entries(lines)), Common(common))
    except (OSError, *NO_ENTRY):
        return Summary()


def write_summary(path: Path, summary: Summary) -> None:
    """Keep a summary, if that folder can be written; nothing is lost if it cannot."""
    texts = {digest: text.decode() for digest, text in summary.common.texts.items()}
    lines = [json.dumps(texts).encode(), *map(_line, summary.entries.items())]
    body = b"\n".join(lines)
    with suppress(UserError):  # a folder of somebody else's: the next reading is as slow as this
        write_whole(path, f"{json.dumps(_header(body))}\n{body.decode()}", "")


def _header(body: bytes) -> dict[str, Any]:
    return {"summary": FORMAT, "results": _schema_sha256(), "sha256": sha256(body).hexdigest()}


@cache
def _schema_sha256() -> str:
    """Another schema reads the same file another way, so it makes another summary."""
    return sha256(json.dumps(Result.model_json_schema()).encode()).hexdigest()


def _line(item: tuple[str, Entry]) -> bytes:
    name, entry = item
    stamp = " ".join(map(str, entry.stamp))
    return b"\t".join((name.encode(), stamp.encode(), entry.own, entry.packed_outcomes))


def _entries(lines: Iterator[bytes]) -> Iterator[tuple[str, Entry]]:
    for line in lines:
        name, stamp, own, outcomes = line.split(b"\t")
        yield name.decode(), Entry(Stamp(*map(int, stamp.split())), own, outcomes)
