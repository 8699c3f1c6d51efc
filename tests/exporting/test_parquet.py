"""Results as Parquet: loaded by `datasets`, with the values that the results hold."""

import pandas as pd
import pytest
from derived_cases import measured
from tiny import cli

import unlearnbench as ub
from unlearnbench.errors import UserError
from unlearnbench.exporting.parquet import storable
from unlearnbench.results.store import Store


@pytest.fixture
def stored(tmp_path):
    """A folder with two results."""
    store = Store(tmp_path / "results")
    for seed in (1, 2):
        store.save(measured("NPO", {"forgetting": {"ma": [0.25, 0.5 * seed]}}, seed=seed))
    return store.folder


def test_datasets_loads_every_configuration(stored, tmp_path, monkeypatch):
    from datasets import load_dataset

    out = tmp_path / "out"
    status, _, said = cli("export", stored, "-o", out)
    assert (status, said) == (0, f"unlearnbench: written to {out}: 4 files\n")

    def load(name):
        return load_dataset(str(out), name, split="train", cache_dir=str(tmp_path / "cache"))

    cells = load("cells").to_pandas().set_index("seed")
    assert list(cells.ma[[1, 2]]) == [0.375, 0.625]
    documents = load("documents").to_pandas()
    assert sorted(documents.value) == [0.25, 0.25, 0.5, 1.0]
    assert "output" not in documents
    assert load("metrics")["name"] == ["ma"]


def test_texts_come_if_requested(stored, tmp_path):
    ub.load_results(stored).export(tmp_path / "out", texts=True)
    assert "output" in pd.read_parquet(tmp_path / "out" / "documents.parquet")


def test_a_second_export_leaves_nothing_of_the_first(stored, tmp_path):
    out = tmp_path / "out"
    ub.load_results(stored).export(out)
    (out / "attacks.parquet").write_bytes(b"of an attack whose results are gone")
    ub.load_results(stored).export(out)
    assert not (out / "attacks.parquet").exists()
    assert (out / "cells.parquet").exists()


def test_a_column_of_several_types_is_json(tmp_path):
    frame = pd.DataFrame({"a": [0.5, "x", None], "b": [[1, 2], None, []], "c": [1, 2.5, None]})
    frame = frame.astype({"c": object})
    frame.assign(d=None).pipe(storable).to_parquet(tmp_path / "x.parquet")
    read = pd.read_parquet(tmp_path / "x.parquet")
    assert list(read.a[:2]) == ["0.5", '"x"']
    assert list(read.b[[0, 2]]) == ["[1, 2]", "[]"]
    assert list(read.c[:2]) == [1.0, 2.5]
    assert read.d.isna().all()
    frame = pd.DataFrame([{"a": [1]}, {"a": "x"}, {}])  # pandas writes NaN for what is absent
    assert list(storable(frame).a.isna()) == [False, False, True]


def test_bad_input_is_one_line(stored, tmp_path):
    assert "say where to write: -o FOLDER" in cli("export", stored)[2]
    assert "make some with: unlearnbench run" in cli("export", tmp_path, "-o", tmp_path / "x")[2]
    with pytest.raises(UserError, match="unknown form 'csv'"):
        ub.load_results(stored).export(tmp_path / "y", "csv")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert "holds other files (mine.txt)" in cli("export", stored, "-o", tmp_path / "full")[2]
