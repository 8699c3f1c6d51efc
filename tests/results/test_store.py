"""The store: whole files or none, damage named, the first of several writers wins."""

import errno
import hashlib
import json
import math
import os
import subprocess
import sys

import pytest
from stored_cases import full_result, make_result

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_new, write_whole
from unlearnbench.results.record import (
    Result,
)
from unlearnbench.results.store import Damage, Store, newest


def test_a_saved_result_comes_back_equal(tmp_path):
    store, result = Store(tmp_path), make_result(value=0.1 + 0.2)
    store.save(result)
    assert store.load(result.key) == result
    assert store.load_all() == ([result], [])
    (documents,) = store.cells.glob("*.documents.jsonl.gz")
    assert {*store.cells.iterdir()} == {store.path(result.key), documents}
    digest = hashlib.sha256(documents.read_bytes()).hexdigest()
    assert documents.name.split(".")[:2] == [result.key, digest[:12]]
    header = store.path(result.key).read_bytes()
    assert json.loads(header)["documents_sha256"] == digest
    lines_below = header.split(b"\n", 2)[2]
    assert json.loads(header)["header_sha256"] == hashlib.sha256(lines_below).hexdigest()


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_numbers_json_does_not_know_survive(tmp_path, value):
    store, result = Store(tmp_path), make_result(value=value)
    store.save(result)
    found = store.load(result.key)
    assert isinstance(found, Result)
    assert repr(found.scores["t"]["m"].value) == repr(value)


def test_an_absent_result_is_none(tmp_path):
    assert Store(tmp_path).load("0" * 64) is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "damaged"),
        (b'{"schema_version": 1', "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[1, 2]", "holds a list"),
        (b'{"schema_version": 0}', "schema version 0"),
        (b'{"schema_version": 2}', "not that of its digest"),
    ],
)
def test_a_file_that_is_no_result_is_named_and_the_others_are_read(tmp_path, content, told):
    store, result = Store(tmp_path), make_result()
    store.save(result)
    (store.cells / "foreign.json").write_bytes(content)
    results, damages = store.load_all()
    assert results == [result]
    assert [d.path.name for d in damages] == ["foreign.json"]
    assert told in damages[0].reason


def test_an_edited_or_renamed_result_is_not_believed(tmp_path):
    store, result = Store(tmp_path), make_result()
    path = store.save(result)
    edited = json.loads(path.read_text())
    edited["identity"]["method"]["name"] = "kumpr"
    path.write_text(json.dumps(edited))
    assert isinstance(store.load(result.key), Damage)
    renamed = store.save(result).rename(store.path("f" * 64))
    assert isinstance(store.load(renamed.stem), Damage)


def test_temporary_files_of_a_killed_writer_are_removed(tmp_path):
    store = Store(tmp_path)
    store.cells.mkdir(parents=True)
    left = store.cells / ".abc.999999.tmp"
    left.write_text('{"half')
    assert store.load_all() == ([], [])
    with store.writing():
        assert not left.exists()


def test_a_second_writer_shares_the_folder_and_leaves_the_first_ones_files(tmp_path):
    other = (
        "import sys; from pathlib import Path\n"
        "from unlearnbench.results.store import Store\n"
        "with Store(Path(sys.argv[1])).writing(): print('got it')\n"
    )
    command = [sys.executable, "-c", other, str(tmp_path)]
    store = Store(tmp_path)
    store.cells.mkdir(parents=True)
    with store.writing():
        half = store.cells / ".abc.tmp"
        half.write_text('{"half')
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert (told, half.exists()) == ("got it\n", True)
    subprocess.run(command, check=True, capture_output=True)
    assert not half.exists()


def test_of_two_results_of_a_cell_the_first_finished_one_is_kept(tmp_path):
    store = Store(tmp_path)
    first, second = (make_result(started_at=f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2))
    assert first.key == second.key
    assert store.commit(first) is first
    assert store.commit(second).started_at == first.started_at
    assert store.load(first.key).started_at == first.started_at
    assert [p.name for p in store.cells.glob("*.json")] == [f"{first.key}.json"]
    assert len(list(store.cells.iterdir())) == 2


def test_documents_without_a_header_are_removed_by_the_next_run(tmp_path):
    store = Store(tmp_path)
    failed = full_result().model_copy(update={"status": "failed", "error": "lost"})
    store.save(failed.model_copy(update={"continuations": {}}))
    store.commit(full_result())
    store.save(full_result(seed=1)).unlink()  # as if it had been killed before the header
    assert len(list(store.cells.glob("*.gz"))) == 3
    with store.writing():
        assert store.load_all() == ([full_result()], [])
        assert len(list(store.cells.iterdir())) == 2


@pytest.mark.parametrize("content", ["", '{"half', None])
def test_a_failed_or_damaged_result_gives_way(tmp_path, content):
    store, result = Store(tmp_path), make_result()
    if content is None:
        store.save(result.model_copy(update={"status": "failed", "error": "lost"}))
    else:
        write_whole(store.path(result.key), content, "")
    assert store.commit(result) is result
    assert store.load(result.key).status == "ok"


def test_a_file_system_without_hard_links_keeps_the_first_file_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "new.txt"
    assert write_new(path, "first", "")
    assert not write_new(path, "second", "")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("first", [path])


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="another --out"), Store(tmp_path / "file").writing():
        pass


def test_newer_software_supersedes_but_another_setting_does_not():
    old = make_result(version="1", started_at="2026-01-01T00:00:00+00:00")
    new = make_result(version="2", started_at="2026-02-01T00:00:00+00:00")
    other = make_result(version="1", seed=7)
    assert newest([old, new, other]) == ([new, other], [old])


def test_the_same_configuration_is_kept_once(tmp_path):
    store = Store(tmp_path)
    assert store.save_experiment("a = 1\n") == store.save_experiment("a = 1\n")
    store.save_experiment("a = 2\n")
    assert len(list((tmp_path / "experiments").glob("*.toml"))) == 2
