"""A stored result is a `Result`, whether or not its longest parts have been read."""

import copy
import json
import math
import pickle

import pytest
from stored_cases import full_result

from unlearnbench.errors import UserError
from unlearnbench.ratings.judge.scores import score_of
from unlearnbench.results import partly_read as records
from unlearnbench.results.record import Result
from unlearnbench.results.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path)
    store.save(full_result())
    return store


def stored(store: Store) -> Result:
    return store.load_all()[0][0]


def long_parts(result: Result) -> list:
    assert result.trace is not None
    scores = [score for task in result.scores.values() for score in task.values()]
    return [
        result.forget_set.prefixes,
        result.forget_set.suffixes,
        *[score.documents for score in scores],
        *[score.outputs for score in scores],
        *[epoch.rows for epoch in result.trace.epochs],
    ]


@pytest.mark.parametrize("unknown", [0.1 + 0.2, math.nan, -math.inf, 5e-324])
def test_every_part_is_that_of_the_file(store, unknown):
    whole = full_result(unknown=unknown)
    store.save(whole)
    found = stored(store)
    assert isinstance(found, Result)
    assert repr(long_parts(found)) == repr(long_parts(whole))
    assert found.model_dump_json(indent=1) == store.path(found.key).read_text()
    assert list(found.model_dump()) == list(Result.model_fields)
    assert [name for name, _ in found] == list(Result.model_fields)


def test_it_is_equal_to_the_result_it_was(store):
    found, whole = stored(store), full_result()
    assert found == whole
    assert whole == found
    assert found == stored(store)
    assert found.forget_set == whole.forget_set
    assert found != full_result(seed=1)
    assert found.scores["t"]["ma"] != full_result(seed=1).scores["t"]["ma"]
    assert found != "x"


def test_only_the_long_parts_are_read_later(store, monkeypatch):
    found = stored(store)

    def refuse(path, stamp):
        raise AssertionError(path)

    monkeypatch.setattr(records, "_read_again", refuse)
    assert found.scores["t"]["ma"].documents["3"] == 0.1
    assert found.scores["t"]["bare"].documents == {}
    assert found.forget_set.doc_ids == ["3", "ä\t7"]
    assert found.trace.epochs[1].metrics == {"ma": 0.5}
    with pytest.raises(AssertionError):
        found.trace.epochs[1].rows  # noqa: B018


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda r: r.model_copy(deep=True)])
def test_a_copy_is_as_good(store, again):
    assert repr(long_parts(again(stored(store)))) == repr(long_parts(full_result()))


def test_another_process_can_have_it(store):
    found = pickle.loads(pickle.dumps(stored(store)))
    assert repr(long_parts(found)) == repr(long_parts(full_result()))


def test_a_changed_copy_keeps_the_change(store):
    found = stored(store)
    judged = found.model_copy(
        update={"scores": {**found.scores, "judge": {"gpt": score_of({"3": 4.0})}}}
    )
    assert json.loads(judged.model_dump_json())["scores"]["judge"]["gpt"]["documents"] == {"3": 4.0}
    assert judged.scores["t"]["ma"].outputs == {"3": "yes"}
    assert judged != found
    store.save(judged)
    assert stored(store).scores["judge"]["gpt"].documents == {"3": 4.0}


def test_what_is_not_there_is_an_attribute_error(store):
    found = stored(store)
    with pytest.raises(AttributeError, match="rowz"):
        found.trace.epochs[0].rowz  # noqa: B018
    with pytest.raises(AttributeError):
        found.rows  # noqa: B018
    assert not hasattr(found.scores["t"]["ma"], "rows")


@pytest.mark.parametrize("change", ["removed", "measured again", "damaged"])
def test_a_file_that_changed_since_is_never_mixed_with_what_was_read(store, change):
    found = stored(store)
    path = store.path(found.key)
    if change == "removed":
        path.unlink()
    elif change == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        store.save(full_result(started_at="2027-01-01T00:00:00+00:00"))
    with pytest.raises(UserError, match="changed while it was being reported"):
        found.forget_set.prefixes  # noqa: B018


def test_what_is_kept_of_the_long_texts_does_not_grow_with_the_results():
    assert records._read_again.cache_info().maxsize == records.N_KEPT_IN_FULL


def test_outcomes_are_unpacked_once(store, monkeypatch):
    found = stored(store)
    documents = found.scores["t"]["ma"].documents
    monkeypatch.setattr("unlearnbench.results.entry.unpacked", None)
    assert found.scores["t"]["ma"].documents is documents
    assert found.scores["t"]["bare"].documents == {}
