"""Results that come with the package: packed, unpacked in the cache, read by their name."""

import shutil
import zipfile
from pathlib import Path

import pytest
from golden_results import result

import unlearnbench as ub
from unlearnbench.errors import UserError
from unlearnbench.experiments.named import find_experiment
from unlearnbench.experiments.recorded import PlannedCell, record
from unlearnbench.results import shipped
from unlearnbench.results.record import key_of
from unlearnbench.results.store import Store
from unlearnbench.results.tunings import question_sha256

NAME = "nano-evidence"


def asked(label: str, **changes):
    """A result whose key is that of what it asks."""
    made = result(label, **changes)
    identity = {"label": label, "run": made.forget_set.run}
    return made.model_copy(update={"identity": identity, "key": key_of(identity)})


@pytest.fixture
def measured(tmp_path) -> Path:
    """A results folder of two cells, with what no reader needs beside them."""
    store = Store(tmp_path / "measured")
    kept = [store.commit(asked("NEO + ICU", run=run)) for run in ("0", "1")]
    cells = tuple(
        PlannedCell(question=question_sha256(r.identity), title=r.label, position=at)
        for at, r in enumerate(kept)
    )
    record(store.folder, find_experiment(NAME), cells)
    (store.folder / "models").mkdir()
    (store.folder / "models" / "weights").write_bytes(b"large")
    return store.folder


@pytest.fixture
def package(measured, tmp_path, monkeypatch) -> Path:
    """An archive of the folder in the place of the package's own, and an empty cache."""
    place = tmp_path / "package"
    place.mkdir()
    shipped.pack(measured, place / f"{NAME}.zip")
    monkeypatch.setattr(shipped, "FOLDER", place)
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    return place / f"{NAME}.zip"


def test_they_are_read_by_their_name_as_a_folder_is(package, measured):
    by_name, by_path = ub.load_results(NAME), ub.load_results(measured, experiment=NAME)
    assert [r.key for r in by_name] == [r.key for r in by_path]
    assert by_name.findings.title == find_experiment(NAME).definition.title
    assert by_name.sections == find_experiment(NAME).definition.sections


def test_a_folder_of_that_name_is_one_s_own(package, measured, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(measured, NAME)
    assert shipped.results_folder(Path(NAME)) == (Path(NAME), None)


def test_an_archive_is_unpacked_once_and_a_newer_one_beside_it(package, measured):
    first, _ = shipped.results_folder(Path(NAME))
    (first / "mark").touch()
    assert (shipped.results_folder(Path(NAME))[0] / "mark").exists()
    Store(measured).commit(asked("NEO + KL", method="kl"))
    shipped.pack(measured, package)
    second, _ = shipped.results_folder(Path(NAME))
    assert second != first
    assert len(list(second.glob("cells/*.json"))) == 3


def test_equal_content_is_an_equal_file_without_models(package, measured, tmp_path):
    again = tmp_path / "again.zip"
    shipped.pack(measured, again)
    assert again.read_bytes() == package.read_bytes()
    names = zipfile.ZipFile(again).namelist()
    assert not [name for name in names if name.startswith(("models", "claims", "logs", "lock"))]


def test_what_cannot_be_unpacked_says_where(package, tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(UserError, match=r"cannot unpack nano-evidence.zip .* UNLEARNBENCH_CACHE"):
        shipped.results_folder(Path(NAME))
