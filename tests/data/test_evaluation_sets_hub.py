"""Sets of the hub: where they are, pins, the recorded commit, and doing without the network."""

import json
import shutil

import datasets
import pytest
from evaluation_set_cases import FILES, rows_of, write

from unlearnbench.data.evaluation_sets import CLASSIFICATION_SETS, DIALOGUE_SETS
from unlearnbench.data.evaluation_sets import hub as hub_sets
from unlearnbench.data.evaluation_sets.reading import read_sets

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _nothing_read_before():
    hub_sets._read.cache_clear()
    yield
    hub_sets._read.cache_clear()


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A cache of the data sets library that holds COPA, as if fetched from the hub."""
    write(tmp_path, ["copa"])
    files = {"validation": str(tmp_path / FILES["copa"])}
    datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "json"))
    (made,) = (tmp_path / "json").glob("json/*/*/*/dataset_info.json")
    home = tmp_path / "cache" / "aps___super_glue" / "copa" / "0.0.0" / COMMIT
    shutil.copytree(made.parent, home)
    info = json.loads(made.read_text())
    info |= {"dataset_name": "super_glue", "config_name": "copa"}
    info["splits"]["validation"]["dataset_name"] = "super_glue"
    (home / "dataset_info.json").write_text(json.dumps(info))
    (home / "json-validation.arrow").rename(home / "super_glue-validation.arrow")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "empty"))


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A hub that answers with COPA's rows; what it was asked."""
    calls = []

    class Rows(list):
        cache_files = ()

    def load_dataset(hub_id, config, *, split, revision):
        calls.append((hub_id, config, split, revision))
        rows = Rows(rows_of("copa"))
        rows.cache_files = [{"filename": str(tmp_path / (revision or COMMIT) / "copa.arrow")}]
        return rows

    monkeypatch.setattr(hub_sets, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_without_network_or_cache_all_are_left_out_in_one_line_per_reason(empty_cache):
    warnings = []
    found = read_sets(CLASSIFICATION_SETS + DIALOGUE_SETS, "hub", {}, warnings)
    assert found == {}
    assert len(warnings) == 2
    assert all(name in warnings[0] for name in CLASSIFICATION_SETS)
    assert all(name in warnings[1] for name in DIALOGUE_SETS)
    assert all("--data DIR" in line for line in warnings)
    assert "cannot be reached" in warnings[0]


def test_a_copy_on_this_machine_is_read_without_network_and_its_commit_recorded(cached):
    warnings = []
    made = read_sets(["copa", "piqa"], "hub", {}, warnings)["copa"]
    assert (made.source, made.revision) == ("hf:aps/super_glue:copa", COMMIT)
    assert (made.split, len(made.rows)) == ("validation", 6)
    assert made.rows[1]["choice1"] == rows_of("copa")[1]["choice1"]
    assert len(warnings) == 1
    assert warnings[0].startswith("left out: piqa: ")


@pytest.mark.parametrize("pin", [COMMIT, COMMIT[:8]])
def test_a_copy_of_the_pinned_commit_is_taken(cached, pin):
    assert read_sets(["copa"], "hub", {"copa": pin}, [])["copa"].revision == COMMIT


@pytest.mark.parametrize("pin", ["f" * 40, "v1.0"])
def test_a_copy_of_another_commit_than_the_pinned_is_not(cached, pin):
    warnings = []
    assert read_sets(["copa"], "hub", {"copa": pin}, warnings) == {}
    assert f"at {COMMIT}, not at {pin}" in warnings[0]


def test_the_pin_is_asked_for_and_the_commit_recorded(asked):
    pin = "a" * 40
    pinned = read_sets(["copa"], "hub", {"copa": pin}, [])["copa"]
    newest = read_sets(["copa"], "hub", {}, [])["copa"]
    read_sets(["copa"], "hub", {}, [])  # as for a second model: not fetched again
    assert asked == [("aps/super_glue", "copa", "validation", r) for r in (pin, None)]
    assert (pinned.revision, newest.revision) == (pin, COMMIT)
    assert pinned.sha256 == newest.sha256


def test_the_digest_is_that_of_the_same_rows_in_a_file(asked, tmp_path):
    local = read_sets(["copa"], str(write(tmp_path, ["copa"])), {}, [])["copa"]
    assert read_sets(["copa"], "hub", {}, [])["copa"].sha256 == local.sha256


def test_a_hub_that_refuses_says_why_in_one_line(monkeypatch):
    def load_dataset(*_, **__):
        raise RuntimeError("Dataset scripts are no longer supported\nand more")

    monkeypatch.setattr(hub_sets, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    warnings = []
    assert read_sets(["piqa"], "hub", {}, warnings) == {}
    assert "baber/piqa: Dataset scripts are no longer supported; give a folder" in warnings[0]


def test_a_hub_set_of_another_schema_is_left_out_and_named(asked):
    warnings = []
    assert read_sets(["piqa", "copa"], "hub", {}, warnings).keys() == {"copa"}
    assert f"hf:baber/piqa at {COMMIT}, row 0: field 'goal' is missing" in warnings[0]
