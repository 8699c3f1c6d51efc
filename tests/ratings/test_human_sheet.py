"""The blind sheet: paired, shuffled, telling nothing, joined by doc_id, never overwritten."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sheet_cases import DOCUMENTS, LABELS, cell, cells, make_sheet, saved

from unlearnbench.cli import cli, status_of
from unlearnbench.cli.human import human
from unlearnbench.errors import UserError
from unlearnbench.ratings.human.draw import documents_whose_texts_differ, draw, study_rows, usable
from unlearnbench.ratings.human.sheet import guarded, plain, read_key, read_sheet

cli.add_command(human)


def test_every_item_holds_the_texts_of_its_own_document_and_result(tmp_path):
    results = {r.key: r for r in cells()}
    out, key_path = make_sheet(tmp_path, results.values())
    key, items = read_key(key_path), read_sheet(out)
    assert {one.item for one in items} == set(key.items)
    assert len(items) == 5 * len(LABELS)
    for one in items:
        entry = key.items[one.item]
        result = results[entry.result_key]
        assert one.prefix == result.forget_set.prefixes[entry.doc_id]
        assert one.reference == result.forget_set.suffixes[entry.doc_id]
        assert one.continuation == result.continuations[entry.doc_id]
        assert (entry.model, entry.method) == (result.group, result.label)
        assert (entry.run, entry.seed) == (result.forget_set.run, result.seed)


def test_all_methods_of_all_models_get_the_same_documents(tmp_path):
    results = [*cells(), *cells("before", "icu", model="m-1300")]
    _, key_path = make_sheet(tmp_path, results)
    documents = {}
    for entry in read_key(key_path).items.values():
        documents.setdefault((entry.model, entry.method), []).append((entry.run, entry.doc_id))
    assert len(documents) == 6
    first = sorted(documents.popitem()[1])
    assert len(set(first)) == 5
    assert all(sorted(other) == first for other in documents.values())


def test_the_sheet_tells_nothing_but_item_and_texts(tmp_path):
    results = [
        r.model_copy(update={"continuations": dict.fromkeys(DOCUMENTS, "hello")}) for r in cells()
    ]
    out, key_path = make_sheet(tmp_path, results)
    text = (out / "sheet.csv").read_text(encoding="utf-8-sig")
    assert text.splitlines()[0] == "item,prefix,reference,continuation,score"
    assert all(row["score"] == "" for row in csv.DictReader(text.splitlines()))
    for item, entry in read_key(key_path).items.items():
        assert item.isalpha()
        assert item in text
        for told in (entry.result_key, entry.method, entry.model):
            assert told not in text
    assert sorted(p.name for p in out.iterdir()) == ["instructions.md", "sheet.csv"]


def test_the_order_within_a_document_says_nothing_about_the_method():
    drawn = draw(study_rows(cells("kumpr", "icu")), len(DOCUMENTS), seed=1)
    first = {}
    for one in drawn:
        first.setdefault(one.document, one.key.method_name)
    share = sum(name == "icu" for name in first.values()) / len(first)
    assert 0.3 < share < 0.7
    # nor do documents stand together, as they would in the order of the results
    assert [one.document for one in drawn[::2]] != [one.document for one in drawn[1::2]]


def test_ids_and_order_come_from_the_seed_and_not_from_the_order_of_results():
    def ids(results, seed):
        return [one.item.item for one in draw(study_rows(results), 5, seed)]

    results = cells()
    assert ids(results, 1) == ids(results[::-1], 1)
    assert not set(ids(results, 1)) & set(ids(results, 2))
    assert len(set(ids(results, 1))) == 20


def test_a_document_counts_once_however_many_seeds_a_method_has():
    results = [*cells("before"), *(cell("icu", seed=s, settings={"seed": s}) for s in (1, 2, 3))]
    drawn = draw(study_rows(results), 30, seed=0)
    assert len(drawn) == 60
    assert {one.key.seed for one in drawn if one.key.method_name == "icu"} == {1, 2, 3}


def test_settings_make_rows_of_their_own_named_as_in_the_table():
    results = [cell("icu", settings={"alpha": a, "seed": 1}, own={"a": a}) for a in (0.1, 0.5)]
    assert {row.method for row in study_rows(results)} == {
        "NEO + ICU (alpha=0.1)",
        "NEO + ICU (alpha=0.5)",
    }


def test_other_tasks_make_no_other_row_and_the_later_result_counts():
    older = cell("icu", own={"tasks": {"limit": 5}})
    newer = cell("icu", started_at="2026-02-01T00:00:00+00:00", own={"tasks": {"limit": 9}})
    (row,) = study_rows([newer, older])
    assert [result.key for result in row.results] == [newer.key]


def test_results_without_continuations_are_named_and_left_out(tmp_path, capsys):
    bare = cell("kumpr", continuations={})
    failed = cell("icu", status="failed", error="boom", own={"n": 2})
    folder = saved(tmp_path / "r", [*cells("before", "dedup"), bare, failed])
    out = str(tmp_path / "s")
    assert status_of(["human", "sheet", str(folder), "--out", out, "--rows", "3"]) == 1
    told = capsys.readouterr().err
    assert f"left out {bare.key}.json (m-125: NEO + KUMPR): it holds no continuations" in told
    assert f"left out {failed.key}.json (m-125: NEO + ICU): it failed" in told
    assert {e.method for e in read_key(tmp_path / "s-key.json").items.values()} == {
        LABELS["before"],
        LABELS["dedup"],
    }


def test_a_continuation_without_prefix_or_reference_is_none():
    lacking = cell("icu")
    lacking.forget_set.prefixes.pop(DOCUMENTS[0])
    lacking.forget_set.suffixes.pop(DOCUMENTS[1])
    (kept,), told = usable([lacking])
    assert not told
    documents = {document.doc_id for document in study_rows([kept])[0].documents()}
    assert documents == set(DOCUMENTS[2:])


@pytest.mark.parametrize("name", ["study/sheet.csv", "study-key.json", "study/ratings-anna.csv"])
def test_nothing_that_is_there_is_overwritten(tmp_path, name, capsys):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("somebody's work")
    folder = saved(tmp_path / "results", cells())
    arguments = ["human", "sheet", str(folder), "--out", str(tmp_path / "study"), "--rows", "2"]
    assert status_of(arguments) == 2
    assert str(path) in capsys.readouterr().err
    assert path.read_text() == "somebody's work"
    assert len(list(tmp_path.rglob("*.csv"))) + len(list(tmp_path.glob("*.json"))) == 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--rows", "61"], "60 documents in common"),
        (["--rows", "0"], "--rows"),
        (
            ["--methods", "icu,kmpr"],
            "unknown method among the results 'kmpr' (did you mean 'kumpr'?)",
        ),
        (["--run", "7"], "unknown forget set among the results '7'"),
        (["--models", "x"], "unknown model among the results 'x'"),
        (["--key", "study/key.json"], "take --key study-key.json"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, more, told):
    monkeypatch.chdir(tmp_path)
    results = [r.model_copy(update={"position": n}) for n, r in enumerate(cells())]
    saved(tmp_path / "results", results)
    assert status_of(["human", "sheet", "results", "--out", "study", *more]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("unlearnbench: error: ")
    assert shown.err.count("\n") == 1
    assert told in shown.err
    assert not (tmp_path / "study").exists()


def test_rows_can_be_chosen(tmp_path):
    results = [*cells(), *cells(run="1")]
    _, key_path = make_sheet(tmp_path, results, "--methods", "icu,before", "--run", "1")
    entries = read_key(key_path).items.values()
    assert {entry.method for entry in entries} == {LABELS["icu"], LABELS["before"]}
    assert {entry.run for entry in entries} == {"1"}


def test_texts_that_differ_between_methods_are_noticed():
    odd = cell("dedup")
    odd.forget_set.prefixes["905"] = "<s> prefix 0/905"
    drawn = draw(study_rows([*cells("icu", "kumpr"), odd]), len(DOCUMENTS), 0)
    assert [document.doc_id for document in documents_whose_texts_differ(drawn)] == ["905"]
    assert not documents_whose_texts_differ(draw(study_rows(cells()), 9, 0))


@given(st.text())
def test_no_cell_is_taken_for_a_formula_and_every_text_comes_back(text):
    assert plain(guarded(text)) == text
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("text", ['a "quoted", thing\nof two lines', "=1+1", "'=x", "", " é\r\n😀"])
def test_texts_survive_the_file(tmp_path, text):
    out, _ = make_sheet(tmp_path, [cell(continuations=dict.fromkeys(DOCUMENTS, text))])
    assert {one.continuation for one in read_sheet(out / "sheet.csv")} == {text}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("item,prefix,reference,score\nabc,a,b,\n", "no column 'continuation'"),
        ("item,prefix,reference,continuation\nabc,a,b,c\nabc,a,b,c\n", "row 3: item 'abc'"),
        ("item,prefix,reference,continuation\n", "has no rows"),
        ("", "no column 'item'"),
    ],
)
def test_a_file_that_is_no_sheet_is_refused(tmp_path, content, told):
    (tmp_path / "sheet.csv").write_text(content)
    with pytest.raises(UserError, match=told):
        read_sheet(tmp_path)


def test_a_key_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps({"items": []}))
    with pytest.raises(UserError, match="is no key"):
        read_key(path)
    with pytest.raises(UserError, match="cannot read the key"):
        read_key(tmp_path / "none.json")
