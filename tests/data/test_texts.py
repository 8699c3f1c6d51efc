"""Validation texts: from files, absent, and wrong."""

import json
from pathlib import Path

import pytest

from unlearnbench.data.validation_texts import (
    default_texts,
    join_articles,
    parse_text_option,
    read_texts,
    texts_sha256,
)
from unlearnbench.errors import UserError


def test_files_of_each_type(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "  "}\n{"text": "two"}\n')
    (tmp_path / "b.csv").write_text(',text\n0,"one,\nstill one"\n1,two\n')
    (tmp_path / "c.txt").write_text("all\n\nof it")
    found = read_texts({name: str(next(tmp_path.glob(f"{name}.*"))) for name in "abc"})
    assert found == {
        "a": ("one", "two"),
        "b": ("one,\nstill one", "two"),
        "c": ("all\n\nof it",),
    }


def test_the_real_wikitext_documents(shared: Path) -> None:
    found = read_texts({"wikitext": str(shared / "data/icu/wikitext_validation.csv")})
    assert len(found["wikitext"]) == 500
    assert "Homarus gammarus" in found["wikitext"][0]


def test_wikitext_lines_become_articles(shared: Path) -> None:
    lines = ["", " = A = \n", " text\n", " = = Part = = \n", " more\n", "", " = B = \n", " b\n"]
    assert join_articles(lines) == [" = A = \n text\n = = Part = = \n more\n", " = B = \n b\n"]
    path = shared / "data/text/wikitext2_raw_test.jsonl"
    real = [json.loads(line)["text"] for line in path.read_text().splitlines()]
    articles = join_articles(real)
    assert "".join(articles).split() == "".join(real).split(), "nothing is lost"
    assert 55 <= len(articles) <= 70, "WikiText-2's test set has 60 articles"


def test_a_text_that_cannot_be_had_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "w.txt").write_text("some text")
    with pytest.warns(UserWarning, match="perplexity on pile is left out") as told:
        found = read_texts({"pile": "hub", "wikitext": str(tmp_path / "w.txt")})
    assert list(found) == ["wikitext"]
    assert len(told) == 1
    assert "--text pile=FILE" in str(told[0].message)
    assert "\n" not in str(told[0].message)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"body": "x"}\n', "row 0: needs a field 'text'"),
        ("a.jsonl", '{"text": " "}\n', "holds no text"),
        ("a.txt", " \n", "is empty"),
        ("a.doc", "x", "not one of"),
    ],
)
def test_bad_files_are_errors(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said):
        read_texts({"mine": str(tmp_path / name)})


def test_missing_files_and_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_texts({"mine": str(tmp_path / "none.txt")})
    with pytest.raises(UserError, match="no file at"):
        read_texts({"mine": str(tmp_path / "none.jsonl")})
    with pytest.raises(UserError, match="--text mine=FILE"):
        read_texts({"mine": "hub"})


def test_the_option_and_the_hash() -> None:
    assert parse_text_option("pile=a=b.txt") == ("pile", "a=b.txt")
    for wrong in ("pile", "=a.txt", "pile="):
        with pytest.raises(UserError, match="NAME=FILE"):
            parse_text_option(wrong)
    one, two = texts_sha256({"a": ("xy",)}), texts_sha256({"a": ("x", "y")})
    assert one != two
    assert set(one) == {"a"}
    assert default_texts("hub") == {"pile": "hub", "wikitext": "hub"}


def test_a_data_folder_may_hold_the_texts(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "pile_validation.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "pile_validation.md").write_text("not a text")
    wanted = default_texts("hub", data=str(tmp_path))
    assert wanted == {"pile": str(tmp_path / "deep/pile_validation.jsonl"), "wikitext": "hub"}
    assert default_texts("nano", data=str(tmp_path))["wikitext"] == "nano"
    (tmp_path / "wikitext_validation.txt").write_text("all of it")
    assert read_texts(default_texts("hub", data=str(tmp_path))) == {
        "pile": ("one", "two"),
        "wikitext": ("all of it",),
    }
    (tmp_path / "wikitext_validation.csv").write_text("text\nmore\n")
    with pytest.raises(UserError, match=r"two files for the text wikitext: .*--text wikitext=FILE"):
        default_texts("hub", data=str(tmp_path))


def test_a_data_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder at"):
        default_texts("hub", data=str(tmp_path / "none"))
    assert set(default_texts("nano", data="hub").values()) == {"hub"}
    assert set(default_texts("hub", data="nano").values()) == {"nano"}


def test_the_real_data_folder_has_wikitext(shared: Path) -> None:
    found = default_texts("hub", data=str(shared / "data"))
    assert found["pile"] == "hub"
    assert Path(found["wikitext"]).name == "wikitext_validation.csv"


def test_a_text_of_the_hub_can_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def rows(location: str, limit: int | None = None) -> list[dict[str, str]]:
        asked.append(location)
        return [{"text": "a"}]

    monkeypatch.setattr("unlearnbench.data.validation_texts.dataset_rows", rows)
    assert read_texts({"pile": "hub@abc123"}) == {"pile": ("a",)}
    read_texts({"wikitext": "hub"})
    assert asked[0].endswith("pile-val-backup::validation@abc123")
    assert "@" not in asked[1]


def test_the_nano_world_s_texts() -> None:
    found = read_texts(default_texts("nano"))
    assert list(found) == ["pile", "wikitext"]
    assert all(len(documents) > 10 for documents in found.values())
    assert found["pile"] != found["wikitext"]
