"""A line of the checklist, and the words that all of them share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from unlearnbench.results.record import Result

Done = Literal["yes", "no", "in part", "not recorded"]
NOT_RECORDED: Done = "not recorded"
_DIGITS = 12  # of a digest


class Line(NamedTuple):
    """One question and its answer."""

    item: str
    done: Done
    answer: str
    where: str  # in the results: a field, or a section of the report


def unsaid(item: str) -> Line:
    """Of imported results: what is asked is not in the log that they were read from."""
    return Line(item, NOT_RECORDED, "imported: the log does not say", "imported")


def measured_here(results: Sequence[Result]) -> list[Result]:
    """Those that were not read from logs."""
    return [result for result in results if result.imported is None]


def digest(sha256: str | None) -> str:
    """The beginning of a digest: 'sha256 094c16500140'."""
    return f"sha256 {sha256[:_DIGITS]}" if sha256 else "sha256 not recorded"


def how_many(done: int, total: int) -> Done:
    """Whether all, none or some of them."""
    return "yes" if done == total else "in part" if done else "no"


def distinct(lines: Iterable[Line]) -> list[Line]:
    """Each line once, in their order."""
    return list(dict.fromkeys(lines))


def number(n: int, what: str) -> str:
    """'1 row', '64 rows'."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def part_of(result: Result, *names: str) -> Mapping[str, object]:
    """A part of a result's identity, as its names lead to it; empty where it records none."""
    found: object = result.identity
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def methods_of(results: Sequence[Result]) -> list[Result]:
    """Those of unlearned models."""
    return [result for result in results if result.role == "method"]
