"""A result that was read without its documents has them when it is asked for them."""

import copy
import gzip
import json
import math
import os
import pickle
import subprocess
import sys

import pytest
from stored_cases import full_result

from unlearnbench.errors import UserError
from unlearnbench.results import files
from unlearnbench.results.record import Result
from unlearnbench.results.score import Score
from unlearnbench.results.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path)
    store.save(full_result())
    return store


def light(store: Store) -> Result:
    return store.load_all(documents=False)[0][0]


def documents_of(result: Result) -> list:
    assert result.trace is not None
    scores = [score for task in result.scores.values() for score in task.values()]
    return [
        result.forget_set.prefixes,
        result.forget_set.suffixes,
        result.continuations,
        *[score.documents for score in scores],
        *[score.outputs for score in scores],
        *[epoch.rows for epoch in result.trace.epochs],
    ]


@pytest.mark.parametrize("unknown", [0.1 + 0.2, math.nan, -math.inf, 5e-324])
def test_every_part_is_that_of_the_file(store, unknown):
    whole = full_result(unknown=unknown)
    store.save(whole)
    for read in (store.load(whole.key), light(store).in_full()):
        assert repr(read) == repr(whole)
        assert read.model_dump_json() == whole.model_dump_json()


def test_without_documents_it_is_the_rest(store):
    read, whole = light(store), full_result()
    assert not any(documents_of(read))
    assert read.forget_set.doc_ids == ["3", "ä\t7"]
    assert read.trace.epochs[1].metrics == {"ma": 0.5}
    assert read.scores["t"]["ma"].value == whole.scores["t"]["ma"].value
    assert read.in_full() == whole
    assert read.in_full().in_full() == whole
    assert whole.in_full() is whole
    assert read == light(store)


def test_outcomes_are_read_once_and_alone(store, monkeypatch):
    read = light(store)
    assert read.with_outcomes() is read
    assert read.scores["t"]["ma"].documents == {"3": 0.1, "ä\t7": math.inf}
    assert read.scores["t"]["bare"].documents == {}
    assert read.scores["t"]["ma"].outputs == {}
    assert not read.continuations
    monkeypatch.setattr(files, "_read_again", None)
    assert read.with_outcomes().scores["t"]["ma"].documents["3"] == 0.1


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda r: r.model_copy(deep=True)])
def test_a_copy_is_as_good(store, again):
    assert again(light(store)).in_full() == full_result()


def test_another_process_can_have_it(store):
    assert pickle.loads(pickle.dumps(light(store))).in_full() == full_result()


def test_a_changed_copy_keeps_the_change(store):
    read = light(store)
    scores = {**read.scores, "judge": {"gpt": Score.of({"3": 4.0}, higher_is_better=True)}}
    judged = read.model_copy(update={"scores": scores, "label": "another"})
    assert judged.with_outcomes().scores["judge"]["gpt"].documents == {"3": 4.0}
    assert judged.in_full().scores["judge"]["gpt"].documents == {"3": 4.0}
    assert judged.in_full().scores["t"]["ma"].outputs == {"3": "yes"}
    store.save(judged)
    assert store.load(read.key) == judged.in_full()
    assert store.load(read.key).label == "another"


@pytest.mark.parametrize("change", ["removed", "measured again", "damaged"])
@pytest.mark.parametrize("ask", [Result.with_outcomes, Result.in_full])
def test_a_file_that_changed_since_is_never_mixed_with_what_was_read(store, change, ask):
    files._read_again.cache_clear()
    read = light(store)
    path = store.path(read.key)
    if change == "removed":
        path.unlink()
    elif change == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        store.save(full_result(started_at="2027-01-01T00:00:00+00:00"))
    with pytest.raises(UserError, match="changed while it was being reported"):
        ask(read)


def test_what_is_kept_of_the_documents_does_not_grow_with_the_results():
    assert files._read_again.cache_info().maxsize == files.N_KEPT_IN_FULL


def test_anybody_can_read_the_documents(store):
    (path,) = store.cells.glob("*.documents.jsonl.gz")
    outcomes, texts, *epochs = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    assert outcomes["t"]["ma"] == {"3": 0.1, "ä\t7": math.inf}
    assert texts["prefixes"] == {"3": "before", "ä\t7": "before"}
    assert texts["suffixes"] == {"3": "after", "ä\t7": "after"}
    assert texts["outputs"]["t"]["ma"] == {"3": "yes"}
    assert texts["continuations"] == full_result().continuations
    assert [[row["doc_id"] for row in rows] for rows in epochs] == [[], ["3"]]
    raw = json.loads(store.path(full_result().key).read_bytes())
    assert "prefixes" not in raw["forget_set"]
    assert "documents" not in raw["scores"]["t"]["ma"]


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
    assert sorted(r.seed for r in store.load_all()[0]) == list(range(20))
    assert {r.started_at for r in store.load_all()[0]} == {"2026-01-06"}
