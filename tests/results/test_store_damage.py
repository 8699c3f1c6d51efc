"""A damaged, half-written, older or foreign file is named and left out, and harms no other."""

import os
import shutil

import pytest
from stored_cases import SPOILT, WHOLE, edited, full_result

from unlearnbench.cli import status_of
from unlearnbench.errors import UserError
from unlearnbench.results import store as store_module
from unlearnbench.results.store import Damage, Store


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path)
    store.save(full_result(seed=1))
    return store


def read(store: Store) -> dict[str, str]:
    """What is wrong by file name, having seen that the good result came through."""
    results, damages = store.load_all()
    assert results == [full_result(seed=1)]
    return {damage.path.name: damage.reason for damage in damages}


def test_what_the_cases_are_made_of_is_a_result(store):
    WHOLE.put(store.cells, full_result(seed=9).key)
    results, damages = store.load_all()
    assert ([r.seed for r in sorted(results, key=lambda r: r.seed)], damages) == ([1, 9], [])


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_file_is_named_with_a_reason(store, case):
    files, reason = SPOILT[case]
    path = files.put(store.cells, full_result(seed=9).key)
    assert reason in read(store)[path.name]
    assert "\n" not in read(store)[path.name]
    assert isinstance(store.load(path.stem), Damage)


def test_a_file_cut_anywhere_is_damaged(store):
    path = WHOLE.put(store.cells, full_result(seed=9).key)
    n = len(WHOLE.header)
    for place in sorted({*range(40), *range(40, n, 97), *range(n - 40, n)}):
        path.write_bytes(WHOLE.header[:place])
        assert "damaged" in read(store)[path.name]


def test_documents_cut_or_changed_anywhere_are_damaged(store):
    path = WHOLE.put(store.cells, full_result(seed=9).key)
    (documents,) = store.cells.glob(f"{path.stem}.*.gz")
    n = len(WHOLE.documents)
    for place in sorted({*range(0, n, 7), n - 1}):
        for content in (
            WHOLE.documents[:place],
            WHOLE.documents[:place] + b"\0\1" + WHOLE.documents[place + 2 :],
        ):
            documents.write_bytes(content)
            for with_documents in (True, False):  # what is read later is checked now
                (damage,) = store.load_all(with_documents)[1]
                assert damage.reason == f"its documents are damaged: {documents.name}"
    documents.unlink()
    assert "its documents cannot be read" in read(store)[path.name]


def test_a_renamed_file_and_a_second_copy_are_not_believed(store):
    good = store.path(full_result(seed=1).key)
    for name in ("0" * 64, f"{good.stem} (copy)"):
        (store.cells / f"{name}.json").write_bytes(good.read_bytes())
        for documents in store.cells.glob(f"{good.stem}.*.gz"):
            shutil.copy(documents, store.cells / documents.name.replace(good.stem, name))
    assert set(read(store)) == {f"{'0' * 64}.json", f"{good.stem} (copy).json"}
    assert all("renamed" in reason for reason in read(store).values())


def test_what_is_no_file_at_all_is_named(store):
    (store.cells / "folder.json").mkdir()
    (store.cells / "broken.json").symlink_to("nowhere")
    (store.cells / "circle.json").symlink_to("circle.json")
    os.mkfifo(store.cells / "pipe.json")
    found = read(store)
    assert found["pipe.json"] == "cannot be read: not a file"
    assert "Is a directory" in found["folder.json"]
    assert "No such file" in found["broken.json"]
    assert "cannot be read" in found["circle.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_an_unreadable_file_is_named(store):
    path = store.path("0" * 64)
    path.write_bytes(WHOLE.header)
    path.chmod(0)
    assert read(store) == {path.name: "cannot be read: Permission denied"}


def test_a_link_to_a_result_is_a_result(store, tmp_path):
    path = store.path(full_result(seed=1).key)
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert read(store) == {}


def test_other_files_are_nobody_s_business(store):
    for name in ("README", "notes.toml", "x.json.bak", ".x.json.12.tmp", "x.jsonl", "json"):
        (store.cells / name).write_text("{")
    assert read(store) == {}


def test_a_folder_that_is_none_is_empty(tmp_path):
    assert Store(tmp_path / "nowhere").load_all() == ([], [])
    (tmp_path / "cells").write_text("")
    assert Store(tmp_path).load_all() == ([], [])


def test_a_file_removed_while_reading_is_not_missed(store, monkeypatch):
    gone = store.save(full_result(seed=2))
    real = store_module.read_file

    def read_late(*arguments):
        gone.unlink(missing_ok=True)
        return real(*arguments)

    monkeypatch.setattr(store_module, "read_file", read_late)
    assert read(store) == {}


def test_a_folder_that_cannot_be_looked_into_is_a_user_error(tmp_path):
    (tmp_path / "cells").symlink_to("cells")
    with pytest.raises(UserError, match="cannot look into"):
        Store(tmp_path).load_all()


def test_the_command_line_names_each_and_prints_the_rest(store, capsys):
    assert status_of(["report", str(store.folder), "--csv"]) == 0
    alone = capsys.readouterr().out
    for case, (files, _) in SPOILT.items():
        files.put(store.cells, case)
    (store.cells / "folder.json").mkdir()
    (store.cells / "broken.json").symlink_to("nowhere")
    assert status_of(["report", str(store.folder), "--csv"]) == 1
    printed = capsys.readouterr()
    assert printed.out == alone
    for name in (*SPOILT, "folder", "broken"):
        path = store.cells / f"{name}.json"
        line = next(told for told in printed.err.splitlines() if f"{path}: " in told)
        assert len(line.partition(f"{path}: ")[2]) > 5
    assert len(printed.err.splitlines()) == len(SPOILT) + 2


@pytest.mark.parametrize("case", ["empty", "a list", "older", "missing field", "a huge number"])
def test_the_command_line_exits_1_for_a_single_one(store, capsys, case):
    path = SPOILT[case][0].put(store.cells, full_result(seed=9).key)
    assert status_of(["report", str(store.folder), "--csv"]) == 1
    assert f"unlearnbench: left out {path}: " in capsys.readouterr().err


def test_nothing_but_damage_is_a_user_error(tmp_path, capsys):
    edited("seed", value="1").put(tmp_path / "cells", "x")
    assert status_of(["report", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "left out" in told
    assert "no results" in told
