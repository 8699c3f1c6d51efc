"""The summary makes reading quick and is never believed where it could be wrong."""

import json
import os
import subprocess
import sys
from hashlib import sha256

import pytest
from stored_cases import full_result

from unlearnbench.cli import status_of
from unlearnbench.results import folder, many_files
from unlearnbench.results.store import Store

N = 6


@pytest.fixture(autouse=True)
def small_folders_are_worth_it(monkeypatch):
    monkeypatch.setattr(folder, "WORTH_KEEPING", 1)


@pytest.fixture
def files_read(store, monkeypatch) -> list[str]:
    """The names of the result files that are opened once the folder has been made."""
    names: list[str] = []
    real = many_files.read_file

    def note(path):
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(many_files, "read_file", note)
    return names


@pytest.fixture
def store(tmp_path) -> Store:
    """A folder whose results have all been read once."""
    store = Store(tmp_path)
    for seed in range(N):
        store.save(full_result(seed))
    store.load_all()
    return store


def summary(store: Store):
    return store.folder / "summary" / "cells.txt"


def seeds(store: Store) -> list[int]:
    results, damages = store.load_all()
    assert damages == []
    assert all(r == full_result(r.seed, r.started_at, r.label) for r in results)
    return sorted(r.seed for r in results)


def test_what_was_read_once_is_not_read_again(store, files_read):
    assert seeds(store) == list(range(N))
    assert files_read == []


def test_a_small_folder_gets_no_summary(tmp_path, monkeypatch):
    monkeypatch.undo()
    store = Store(tmp_path)
    store.save(full_result())
    store.load_all()
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]


def test_results_come_back_equal_with_and_without(store):
    first = [r.model_dump_json() for r in store.load_all()[0]]
    summary(store).unlink()
    assert [r.model_dump_json() for r in store.load_all()[0]] == first
    assert [r.model_dump_json() for r in store.load_all()[0]] == first


def test_only_what_is_new_is_read(store, files_read):
    new = store.save(full_result(seed=N))
    assert seeds(store) == list(range(N + 1))
    assert files_read == [new.name]
    assert seeds(store) == list(range(N + 1))
    assert files_read == [new.name]


def test_a_result_that_is_gone_is_gone(store, files_read):
    store.path(full_result(seed=2).key).unlink()
    assert seeds(store) == [0, 1, 3, 4, 5]
    assert files_read == []


def test_a_file_written_again_with_the_same_size_and_time_is_read_again(store):
    path = store.path(full_result(seed=2).key)
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"ICU"', b'"KUM"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    label = next(r.label for r in store.load_all()[0] if r.seed == 2)
    assert label == "KUM"


def test_a_file_damaged_after_it_was_read_is_named(store, capsys):
    path = store.path(full_result(seed=2).key)
    path.write_bytes(path.read_bytes()[:-20])
    results, damages = store.load_all()
    assert sorted(r.seed for r in results) == [0, 1, 3, 4, 5]
    assert [d.path for d in damages] == [path]
    assert [d.path for d in store.load_all()[1]] == [path]  # every time, not only the first
    assert status_of(["report", str(store.folder), "--csv"]) == 1
    assert str(path) in capsys.readouterr().err


def changed_number(text: bytes) -> bytes:
    assert b"0.1" in text
    return text.replace(b"0.1", b"0.2")


def forged(text: bytes) -> bytes:
    """Edited by hand, and the digest with it: what remains is no entry of a result."""
    header, _, body = text.partition(b"\n")
    body = body.replace(b'"seed":', b'"sown":')
    told = json.loads(header) | {"sha256": sha256(body).hexdigest()}
    return json.dumps(told).encode() + b"\n" + body


SPOILT = {
    "empty": lambda text: b"",
    "half": lambda text: text[: len(text) // 2],
    "but for one byte": lambda text: text[:-1],
    "one more line": lambda text: text + b"\nx\ty",
    "edited by hand": changed_number,
    "edited in its header": lambda text: text.replace(b'"summary"', b'"Summary"', 1),
    "of another version": lambda text: text.replace(b'"summary": 1', b'"summary": 0', 1),
    "of another schema": lambda text: text.replace(b'"results": "', b'"results": "0', 1),
    "not text": lambda text: b"\xff\xfe\x00" * 99,
    "JSON of something else": lambda text: b'{"a": 1}\n{}\n',
    "null": lambda text: b"null\nnull",
    "deeply nested": lambda text: b"[" * 100_000,
    "forged": forged,
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_summary_is_never_believed_and_made_anew(store, files_read, case):
    whole = summary(store).read_bytes()
    summary(store).write_bytes(SPOILT[case](whole))
    assert seeds(store) == list(range(N))
    assert len(files_read) == N
    assert seeds(store) == list(range(N))
    assert len(files_read) == N


def test_one_cut_anywhere_is_never_believed(store, files_read):
    whole = summary(store).read_bytes()
    for place in range(0, len(whole), 211):
        files_read.clear()
        summary(store).write_bytes(whole[:place])
        results, damages = store.load_all()
        assert (len(results), damages, len(files_read)) == (N, [], N)


def test_a_folder_that_cannot_be_written_is_read_all_the_same(store, files_read):
    summary(store).unlink()
    summary(store).parent.rmdir()
    summary(store).parent.write_text("in the way")
    for turn in (1, 2):
        assert seeds(store) == list(range(N))
        assert len(files_read) == turn * N


def test_a_killed_reader_leaves_nothing_that_a_writer_does_not_clear(store):
    left = summary(store).with_name(".cells.txt.999999.tmp")
    left.write_text("half")
    assert seeds(store) == list(range(N))
    with store.writing():
        assert not left.exists()
        assert summary(store).exists()


def test_several_processes_read_the_same(store, monkeypatch):
    here, _ = store.load_all()
    summary(store).unlink()
    spoilt = store.path("0" * 64)
    spoilt.write_text("{")
    monkeypatch.setattr(many_files, "FILES_PER_PROCESS", 1)
    monkeypatch.setattr(many_files, "FILES_AT_A_TIME", 2)
    monkeypatch.setattr(many_files.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(many_files, "_read_here", read_elsewhere(os.getpid()))
    found, damages = store.load_all()
    assert found == here
    assert [d.path for d in damages] == [spoilt]


def read_elsewhere(parent: int):
    real = many_files._read_here

    def read(paths):
        assert os.getpid() != parent
        return real(paths)

    _functions["read"] = read
    return _ReadElsewhere()


_functions: dict = {}


class _ReadElsewhere:
    """Found by forked processes under this module's name."""

    def __call__(self, paths):
        return _functions["read"](paths)


def test_a_process_that_dies_costs_time_only(store, monkeypatch):
    summary(store).unlink()
    monkeypatch.setattr(many_files, "FILES_PER_PROCESS", 1)
    monkeypatch.setattr(many_files.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(many_files, "_leave_interrupts_to_the_parent", lambda: os._exit(1))
    assert seeds(store) == list(range(N))


WRITER = """
import sys
from pathlib import Path
from stored_cases import full_result
from unlearnbench.results.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
with store.writing():
    for turn in range(6):
        for seed in range(20):
            store.save(full_result(seed, started_at=f"2026-01-0{turn + 1}"))
"""


def test_a_reader_beside_a_writer_sees_whole_results_only(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    store, counts = Store(tmp_path), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        while writer.poll() is None:
            results, damages = store.load_all()
            assert damages == []
            assert all(r.scores["t"]["ma"].documents["3"] == 0.1 + r.seed for r in results)
            counts.append(len(results))
    assert writer.returncode == 0
    assert counts == sorted(counts)  # none is ever lost
    assert seeds(store) == list(range(20))
    assert {r.started_at for r in store.load_all()[0]} == {"2026-01-06"}
