"""Damaged caches: noticed by their checksums, made again or named, never believed."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import datasets
import numpy as np
import pytest
import tiny
from evaluation_set_cases import FILES, write

from unlearnbench import nano
from unlearnbench.cli import status_of
from unlearnbench.data import pairs as pairing
from unlearnbench.data.evaluation_sets import hub as hub_sets
from unlearnbench.data.evaluation_sets.reading import read_sets
from unlearnbench.data.pairs import find_neighbours
from unlearnbench.errors import UserError
from unlearnbench.files.cache import read_entry, write_entry
from unlearnbench.nano import data as nano_cache

NOWHERE = "/proc/unlearnbench"  # nobody can make a folder there, root included


@contextmanager
def files_of_at_most(n_bytes):
    """Writing more to one file fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def first_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turned_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def a_folder(path):
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "first half": first_half,
    "one bit": turned_bit,
    "gone": lambda path: path.unlink(),
    "a folder": a_folder,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_none(damage, root):
    path = root / "entry"
    write_entry(path, b"content " * 100)
    assert read_entry(path) == b"content " * 100
    damage(path)
    assert read_entry(path) is None
    if path.is_dir():
        with pytest.warns(UserWarning, match="cannot write .*entry"):
            write_entry(path, b"new")
        assert read_entry(path) is None
    else:
        write_entry(path, b"new")
        assert read_entry(path) == b"new"
    assert [p.name for p in root.iterdir()] == ["entry"], "nothing is left beside it"


def test_an_entry_under_another_s_name_is_none(root):
    write_entry(root / "a", b"of a")
    write_entry(root / "b", b"of b")
    shutil.copy(root / "a", root / "b")
    assert read_entry(root / "b") is None
    assert read_entry(root / "a") == b"of a"


def test_a_full_disk_leaves_the_entry_from_before(root):
    write_entry(root / "entry", b"old")
    with files_of_at_most(4096), pytest.warns(UserWarning, match=r"File too large.*UNLEARNBENCH"):
        write_entry(root / "entry", bytes(1 << 20))
    assert read_entry(root / "entry") == b"old"
    assert [p.name for p in root.iterdir()] == ["entry"]


def in_child(work):
    """Run something in a process of its own that ends when it does."""
    if (child := os.fork()) == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def test_processes_that_fill_one_entry_at_once_never_show_half_of_it(root):
    path = root / "entry"
    wanted = {bytes([letter]) * 200_000 for letter in b"ab"}
    children = [in_child(lambda c=c: [write_entry(path, c) for _ in range(60)]) for c in wanted]
    seen = set()
    for child in children:
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            seen.add(read_entry(path))
    seen.add(read_entry(path))
    assert seen - {None} <= wanted
    assert read_entry(path) in wanted
    assert [p.name for p in root.iterdir()] == ["entry"]


def test_a_writer_that_is_killed_leaves_the_entry_whole(root):
    path = root / "entry"
    write_entry(path, b"old")

    def rewrite():
        while True:
            write_entry(path, os.urandom(300_000))

    for seconds in (0.0, 0.003, 0.011, 0.03):
        child = in_child(rewrite)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert read_entry(path) is not None
    write_entry(path, b"new")
    assert read_entry(path) == b"new", "what a killed process left beside it is in nobody's way"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A small BERT over the words of the tests' world."""
    folder = tmp_path_factory.mktemp("encoder")
    tiny.save_bert(folder)
    return folder


TARGETS = ["kab kad", "lob lod"]
POOL = ["kab kad kaf", "lob lof", "mib mid", "kam kan"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_embeddings_are_computed_again(damage, root, encoder):
    found = find_neighbours(TARGETS, POOL, str(encoder))
    (entry,) = (root / "embeddings").iterdir()
    whole = entry.read_bytes()
    damage(entry)
    if entry.is_dir():
        with pytest.warns(UserWarning, match="computed again each time"):
            assert find_neighbours(TARGETS, POOL, str(encoder)) == found
    else:
        assert find_neighbours(TARGETS, POOL, str(encoder)) == found
        assert entry.read_bytes() == whole


def test_embeddings_of_other_texts_under_this_name_are_not_believed(root, encoder):
    found = find_neighbours(TARGETS, POOL, str(encoder))
    (entry,) = (root / "embeddings").iterdir()
    find_neighbours(TARGETS, [text + " vud" for text in POOL], str(encoder))
    other = next(path for path in (root / "embeddings").iterdir() if path != entry)
    shutil.copy(other, entry)
    assert find_neighbours(TARGETS, POOL, str(encoder)) == found
    assert entry.read_bytes() != other.read_bytes()


def test_entries_that_cannot_be_kept_cost_time_and_a_warning(encoder, monkeypatch):
    found = find_neighbours(TARGETS, POOL, str(encoder))
    monkeypatch.setenv("UNLEARNBENCH_CACHE", NOWHERE)
    with pytest.warns(UserWarning, match="cannot write /proc/unlearnbench"):
        assert find_neighbours(TARGETS, POOL, str(encoder)) == found


def test_an_encoder_without_numbers_has_no_neighbours(root, encoder, monkeypatch):
    class Broken:
        def encode(self, texts, **_):
            return np.full((len(texts), 4), np.nan, dtype=np.float32)

    monkeypatch.setattr(pairing, "_sentence_encoder", lambda _: Broken())
    with pytest.raises(UserError, match="gives NaN or infinity"):
        find_neighbours(TARGETS, POOL, str(encoder))
    assert not (root / "embeddings").exists(), "and nothing of it is kept"


@pytest.fixture
def kept(nano_data, root):
    """A copy of the data in the test's own cache."""
    return Path(shutil.copytree(nano_data, root / nano_data.name))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(
    "name", ["extraction/train_suffix.npy", "exp/forget_1.csv", "manifest.json", "text"]
)
def test_damaged_nano_data_are_named_and_not_read(name, damage, kept):
    if name == "text":
        name = "text/pile_validation.jsonl"
    damage(kept / name)
    with pytest.raises(UserError, match=f"{name}.*; delete that folder") as told:
        nano.data_path()
    assert "\n" not in str(told.value)


def test_files_that_are_not_the_nano_world_s_are_named(kept):
    shutil.copy(kept / "exp" / "forget_1.csv", kept / "exp" / "forget_7.csv")
    with pytest.raises(UserError, match=r"not its own \(exp/forget_7\.csv\)"):
        nano.data_path()
    (kept / "exp" / "forget_7.csv").unlink()
    (kept / "exp" / ".nfs0001").write_bytes(b"")  # what a network file system leaves
    assert nano.data_path() == kept


def test_an_empty_folder_is_not_taken_for_data(kept):
    shutil.rmtree(kept)
    kept.mkdir()
    with pytest.raises(UserError, match="does not match the shipped hashes"):
        nano.data_path()
    kept.rmdir()
    kept.write_text("a file in the way")
    with pytest.raises(UserError, match=r"a file is in the way.*UNLEARNBENCH_CACHE"):
        nano.data_path()
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]


def test_what_a_killed_process_left_of_the_data_is_not_read(kept):
    half = kept.with_name(f"{kept.name}.x1y2")
    shutil.copytree(kept / "exp", half / "exp")
    assert nano.data_path() == kept
    assert nano_cache.shipped_manifest()["files"].keys() <= {
        path.relative_to(kept).as_posix() for path in kept.rglob("*")
    }


def test_a_full_disk_while_data_are_made_leaves_nothing(root):
    with files_of_at_most(1 << 16), pytest.raises(UserError, match="cannot write the nano"):
        nano.data_path()
    assert list(root.iterdir()) == []


def test_the_command_line_says_it_in_one_line(kept, monkeypatch, capsys, tmp_path):
    command = ["run", "--methods", "kumpr", "--out", str(tmp_path / "out")]
    turned_bit(kept / "exp" / "forget_0.csv")
    for where, said in ((str(kept.parent), "exp/forget_0.csv"), (NOWHERE, "cannot write")):
        monkeypatch.setenv("UNLEARNBENCH_CACHE", where)
        from unlearnbench.experiments.data_choice import _open

        _open.cache_clear()
        assert status_of(command) == 2
        shown, told = capsys.readouterr()
        assert shown == ""
        assert said in told
        assert told.count("\n") == 1
    assert not (tmp_path / "out" / "cells").exists()


MAKE = "from unlearnbench.nano import data_path; print(data_path())"


def make_in_process():
    return subprocess.Popen([sys.executable, "-c", MAKE], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_processes_that_make_the_data_at_once_and_one_killed(root):
    killed = make_in_process()
    while not list(root.glob("nano-*.*/exp")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not any(path.suffix == "" for path in root.iterdir())
    both = [make_in_process() for _ in range(2)]
    found = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert found == {str(nano.data_path())}


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The data sets library's cache with COPA in it; the file that holds its rows."""
    write(tmp_path, ["copa"])
    files = {"validation": str(tmp_path / FILES["copa"])}
    datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "json"))
    (info,) = (tmp_path / "json").glob("json/*/*/*/dataset_info.json")
    home = tmp_path / "hub" / "aps___super_glue" / "copa" / "0.0.0" / COMMIT
    shutil.copytree(info.parent, home)
    known = json.loads(info.read_text())
    known |= {"dataset_name": "super_glue", "config_name": "copa"}
    known["splits"]["validation"]["dataset_name"] = "super_glue"
    (home / "dataset_info.json").write_text(json.dumps(known))
    rows = (home / "json-validation.arrow").rename(home / "super_glue-validation.arrow")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hub"))
    hub_sets._read.cache_clear()
    yield rows
    hub_sets._read.cache_clear()


# Arrow has no checksum. A changed bit makes other rows, and they another digest and cell.
SEEN = [name for name in DAMAGES if name != "one bit"]


@pytest.mark.parametrize("damage", SEEN)
def test_a_damaged_set_of_the_hub_is_left_out_and_said(damage, hub_cache, capsys):
    DAMAGES[damage](hub_cache)
    warnings = []
    assert read_sets(["copa"], "hub", {}, warnings) == {}
    assert "left out: copa" in warnings[0]
    assert "--data DIR" in warnings[0]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", SEEN)
def test_a_damaged_forget_set_of_the_hub_is_one_line(damage, hub_cache):
    from unlearnbench.data.hub_datasets import dataset_rows

    rows = dataset_rows("hf:aps/super_glue:copa:validation")
    assert len(rows) == 6
    DAMAGES[damage](hub_cache)
    with pytest.raises(UserError) as told:
        dataset_rows("hf:aps/super_glue:copa:validation")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.filterwarnings("ignore:cannot write")
def test_a_damaged_remembered_digest_is_computed_again(damage, root, tmp_path, monkeypatch):
    from unlearnbench.files import hashing

    monkeypatch.setattr(hashing, "_REMEMBER_FROM", 0)
    (tmp_path / "file").write_bytes(b"x")
    digest = hashing.file_sha256(tmp_path / "file")
    damage(next((root / "hashes").iterdir()))
    assert hashing.file_sha256(tmp_path / "file") == digest
