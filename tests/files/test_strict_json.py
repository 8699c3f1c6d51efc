"""JSON as files of data and of results are read: one value, or one line that says why not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from unlearnbench.files.strict_json import DEEPEST, RepeatedNameError, parsed

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@settings(max_examples=50, deadline=None)
@given(values, st.booleans())
def test_what_json_writes_comes_back(value, as_ascii):
    text = json.dumps(value, ensure_ascii=as_ascii)
    assert parsed(text) == value
    assert parsed(text.encode()) == value


@settings(max_examples=50, deadline=None)
@given(values, st.data())
def test_a_cut_or_changed_text_is_refused_where_another_reader_refuses_it(value, data):
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    spoilt = (
        text[:at] + data.draw(st.sampled_from(["", "}", "[", '"', ",", "x", "\\"])) + text[at + 1 :]
    )
    expected, found = outcome(from_json, spoilt), outcome(parsed, spoilt)
    if isinstance(found, RepeatedNameError):  # the other reader keeps the second value
        assert spoilt.count(json.dumps(found.name)) > 1
    elif isinstance(expected, ValueError):
        assert isinstance(found, ValueError)
    else:
        assert found == expected


def outcome(read, text):
    try:
        return read(text)
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": {"c": 2, "c": 2}}', "'c' stands there twice"),
        ('["ka \\ud83d lo"]', r"\\ud83d is half a character"),
        ('{"\\uDE00": 1}', r"\\ude00 is half a character"),
        (b'"\xff"', "utf-8"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("[1] [2]", "Extra data"),
        ("9" * 5000, "Exceeds the limit"),
        ("", "Expecting value"),
    ],
    ids=["twice", "leading", "trailing", "bytes", "deep", "endless", "two", "digits", "empty"],
)
def test_why_not_in_one_line(text, said):
    with pytest.raises(ValueError, match=said) as found:
        parsed(text)
    assert len(str(found.value).splitlines()) == 1


def test_the_deepest_that_is_read():
    assert json.dumps(parsed("[" * DEEPEST + "1" + "]" * DEEPEST)).count("[") == DEEPEST
    assert len(parsed("[" + ", ".join(["[]"] * 5000) + "]")) == 5000
    assert parsed('["\\ud83d\\ude00", "\\\\ud83d"]') == ["\U0001f600", "\\ud83d"]
