"""What the fuzz tests share: hostile values, ways to spoil a value or a file, and what may happen.

Each property runs a few hundred times by default, always the same ones, and thousands of times,
always others, where it is marked slow (`pytest -m slow`).
"""

import contextlib
import copy
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import cli

_ANY_SPEED = {"deadline": None, "suppress_health_check": list(HealthCheck)}
THOROUGH = 20  # times as many examples


def fuzz(n: int, /, **strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """A property of `n` examples; what it has as `thorough` is the same with many more."""

    def decorate(check: Callable[..., None]) -> Any:
        quick = settings(max_examples=n, derandomize=True, database=None, **_ANY_SPEED)
        many = settings(max_examples=THOROUGH * n, database=None, print_blob=True, **_ANY_SPEED)
        made = quick(given(**strategies)(check))
        made.thorough = many(given(**strategies)(check))
        return made

    return decorate


def thorough(module: dict[str, Any]) -> list[Any]:
    """Every property of a test module, to be run many times."""
    return [one for one in module.values() if hasattr(one, "thorough")]


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Thousands of small files need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """A folder of its own for one example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def command(*arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command line in this process; nothing may be raised."""
    status, shown, told_text = cli(*arguments)
    told = told_text.splitlines()
    assert all(line.startswith("unlearnbench: ") for line in told), told
    if status == 2:
        assert told, "a refusal without a word"
        assert told[-1].startswith("unlearnbench: error: ")
    assert status in (0, 1, 2)
    return status, shown, told_text


def is_one_line(text: str) -> bool:
    """Whether a message is one, and not endless."""
    return bool(text.strip()) and len(text.splitlines()) == 1 and len(text) < 5000


HOSTILE_TEXTS = (
    "", " ", "\0", "\n", "a\r\nb", "none", "None", "null", "true", "nan", "inf", "-1", "0", "1.0",
    "1e3", "1_0", "٣", "７", "½", "\ud800", "\u202e", "﷽" * 9, "../x", "/", "~", "~nobody/x", "a=b",
    "=1+1", "a,b", ",", ";", "\t", "'", '"', "{}", "{0}", "%s", "$x", "\\", "<b>&", "\x1b[31m",
    "x" * 300, "é", "日本", "🙂", "9" * 400, "0x10", "--help", "-o",
)  # fmt: skip
HOSTILE_NUMBERS = (
    0, 1, -1, 2, 7, 10**6, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 10**400,
    0.0, -0.0, 0.5, 1.0, -1.5, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf,
)  # fmt: skip
texts = st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=12)
numbers = st.sampled_from(HOSTILE_NUMBERS) | st.integers() | st.floats()
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


class Twice(dict):
    """An object whose first name is written a second time, with another value."""

    def __init__(self, first: dict, value: Any) -> None:
        super().__init__(first)
        self.value = value


def written(value: Any) -> str:
    """JSON as the standard library writes it, repeated names included."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(name)}: {written(part)}" for name, part in value.items()]
        if isinstance(value, Twice):
            pairs.append(f"{json.dumps(next(iter(value), ''))}: {written(value.value)}")
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def places(value: Any, place: tuple = ()) -> Iterator[tuple]:
    """Names and indices that lead to each part of a JSON value but the whole."""
    if place:
        yield place
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in parts:
            yield from places(part, (*place, name))


@st.composite
def spoilt(draw: Any, whole: Any, at_most: int = 2) -> Any:
    """A JSON value with one or two parts of it dropped, repeated, renamed, replaced or nested."""
    made = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, at_most))):
        found = list(places(made))
        if not found:
            break
        # First how deep, then where: texts by the hundred must not hide the few numbers above.
        deep = draw(st.sampled_from(sorted({len(place) for place in found})))
        *above, last = draw(st.sampled_from([p for p in found if len(p) == deep]))
        owner = made
        for step in above:
            owner = owner[step]
        _spoil(draw, owner, last)
    return made


def _spoil(draw: Any, owner: Any, name: Any) -> None:
    old = owner[name]
    how = draw(st.sampled_from(["drop", "replace", "replace", "number", "nest", "again", "move"]))
    if how == "drop":
        del owner[name]
    elif how == "replace":
        owner[name] = draw(values)
    elif how == "number":
        owner[name] = draw(numbers)
    elif how == "nest":
        owner[name] = draw(st.sampled_from([[old], {"x": old}, [[old]], {}]))
    elif how == "again" and isinstance(owner, list):
        owner.insert(name, copy.deepcopy(old))
    elif how == "again" and isinstance(old, dict):
        owner[name] = Twice(old, draw(values))
    elif how == "move" and isinstance(owner, dict):
        owner[draw(texts)] = owner.pop(name)
    elif isinstance(owner, list):
        owner.reverse()


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """A file with some bytes of it cut off, changed, put in, taken out or moved."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(made)))
        to = draw(st.integers(at, min(len(made), at + draw(st.sampled_from([1, 8, 200, 10**6])))))
        put = draw(st.just(b"") | st.binary(max_size=6) | st.just(bytes(made[at:to]) * 2))
        made[at:to] = put
    return bytes(made)
