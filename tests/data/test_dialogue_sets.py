"""Conversations from JSON: the real files, and files that are wrong."""

import json

import pytest

from unlearnbench.data.evaluation_sets.dialogue_files import read_dialogue_file, write_dialogue_file
from unlearnbench.errors import UserError

REAL = {
    "blended_skill_talk": 1009,
    "empathetic_dialogues": 2758,
    "wizard_of_internet": 516,
    "wizard_of_wikipedia": 967,
}


@pytest.mark.parametrize("name", REAL)
def test_the_real_files_are_read_whole(name, shared):
    path = shared / "data/icu/dialogue" / f"{name}.json"
    rows = read_dialogue_file(path)
    assert {row["doc_id"]: row["turns"] for row in rows} == json.loads(path.read_text())["text"]
    assert len(rows) == REAL[name]


def test_keys_that_are_no_numbering_stay_the_doc_ids(tmp_path):
    path = tmp_path / "d.json"
    path.write_text('{"text": {"7": ["a", "b"], "2": ["", "c", "d"], "x": ["e", "f"]}}')
    rows = read_dialogue_file(path)
    assert rows == [
        {"doc_id": "7", "turns": ["a", "b"]},
        {"doc_id": "2", "turns": ["", "c", "d"]},
        {"doc_id": "x", "turns": ["e", "f"]},
    ]
    write_dialogue_file(tmp_path / "again.json", rows)
    assert read_dialogue_file(tmp_path / "again.json") == rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "d.json: not JSON"),
        ("{", "d.json: not JSON"),
        ("[]", "d.json: field 'text' is missing"),
        ("{}", "d.json: field 'text' is missing"),
        ('{"text": ["a", "b"]}', "d.json: field 'text' is list"),
        ('{"text": {}}', "d.json: field 'text' has no rows"),
        ('{"text": {"3": "hi"}}', "d.json, row '3': field 'text' is str, not a list"),
        ('{"text": {"3": null}}', "d.json, row '3': field 'text' is missing"),
        ('{"text": {"3": ["a", 5]}}', "d.json, row '3': turn 1 is int, not text"),
        ('{"text": {"3": ["a", null, "b"]}}', "d.json, row '3': turn 1 is missing, not text"),
        ('{"text": {"0": ["a", "b"], "3": ["a"]}}', "d.json, row '3': has 1 of the two turns"),
        ('{"text": {"3": []}}', "d.json, row '3': has 0 of the two turns"),
        ('{"text": {"3": ["a", " "]}}', "d.json, row '3': turn 1, the reply, is empty"),
        ('{"text": {"3": ["a", "b"], "3": ["c", "d"]}}', "d.json: row '3' is there twice"),
    ],
)
def test_what_is_wrong_is_named(content, said, tmp_path):
    path = tmp_path / "d.json"
    path.write_text(content)
    with pytest.raises(UserError) as told:
        read_dialogue_file(path)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_dialogue_file(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes('{"text": {"0": ["é", "b"]}}'.encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        read_dialogue_file(tmp_path / "latin.json")
