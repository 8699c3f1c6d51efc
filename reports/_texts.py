"""Texts that a model wrote, made safe to print on one line."""

import re

from unlearnbench.reporting.document import Case, Passage

LINE_END = "↵"
NOTHING = "(nothing)"
_LINE_ENDS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Controls, half characters, and the signs that reverse the reading order of what follows them.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def one_line(text: str) -> str:
    """The text with each line end as a visible mark and what must not reach a terminal as '�'."""
    marked = _LINE_ENDS.sub(f"{LINE_END} ", text).replace("\t", " ")
    return _UNPRINTABLE.sub("\ufffd", marked).strip()


def passages_of(case: Case) -> tuple[Passage, ...]:
    """All texts of a case in one line each: prefix and reference first, then what models wrote."""
    source = (Passage("prefix", case.prefix), Passage("reference", case.reference))
    passages = (*(p for p in source if p.text), *case.passages)
    return tuple(
        Passage(
            one_line(p.label),
            one_line(p.text) or NOTHING,
            tuple((name, one_line(value)) for name, value in p.facts),
        )
        for p in passages
    )


def fact_names(case: Case) -> tuple[str, ...]:
    """The names of what is told about any passage, in the order in which they first occur."""
    return tuple(dict.fromkeys(name for passage in case.passages for name, _ in passage.facts))


def head_lines(headers: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The headers in one line, or with their units in a second: 'MA', '(%) ↓'."""
    pairs = [header.partition(" (") for header in headers]
    if not any(bracket for _, bracket, _ in pairs):
        return [headers]
    return [tuple(name for name, _, _ in pairs), tuple((b + unit).strip() for _, b, unit in pairs)]
