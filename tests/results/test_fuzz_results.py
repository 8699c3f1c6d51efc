"""No file of a results folder makes a report fail, or show what no run has measured."""

import json
import math

import pytest
from fuzzing import (
    command,
    damaged,
    fuzz,
    is_one_line,
    new_folder,
    no_waiting_for_the_disk,  # noqa: F401 - a fixture
    spoilt,
    texts,
    thorough,
    values,
    written,
)
from hypothesis import strategies as st
from stored_cases import full_result

from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.experiments.named import Named, parse_definition
from unlearnbench.experiments.recorded import PlannedCell, Recorded, record, select
from unlearnbench.files.strict_json import parsed
from unlearnbench.reading import read_results, shown_in
from unlearnbench.reporting.report import Figure
from unlearnbench.reporting.sections import make_document, names
from unlearnbench.results import folder as folder_module
from unlearnbench.results.identity import key_of
from unlearnbench.results.record import EvaluationSetRecord, PhaseRecord, Result
from unlearnbench.results.store import Damage, Store


def rich(seed: int) -> Result:
    """A result with something in every field."""
    plain = full_result(seed=seed)
    asked = {
        **plain.identity,
        "role": "method",
        "group": "m",
        "protocol": plain.protocol,
        "forget_set": {"sha256": "1" * 64, "limit": None},
        "tasks": {"settings": {"t": {"batch_size": 4}}, "limit": 3},
        "texts": {"pile": "2" * 64},
        "sets": {"hellaswag": "3" * 64},
        "encoders": {"bert": "4" * 64, "pairs": "5" * 64},
    }
    cost = PhaseRecord(forward_tokens=9, generated_tokens=1, seconds=0.5, peak_memory_bytes=10**6)
    of_questions = EvaluationSetRecord(source="h", split="v", revision=None, n=4, sha256="3" * 64)
    return plain.model_copy(
        update={
            "identity": asked,
            "key": key_of(asked),
            "costs": {"unlearn": cost, "measure": cost},
            "sets": {"hellaswag": of_questions},
        }
    )


GOOD, OTHER = rich(1), rich(9)
WHOLE = OTHER.model_dump_json(indent=1).encode()
RAW = json.loads(WHOLE)
IN_TEXT = ("csv", "json", "plain", "markdown", "latex", "latex-fragment")


def with_its_key(raw: object) -> object:
    """The value with a key that fits its identity, where it has one."""
    if isinstance(raw, dict) and isinstance(raw.get("identity"), dict):
        raw["key"] = key_of(raw["identity"])
    return raw


def stored(folder, name: str, content: bytes) -> Store:
    """A folder with a good result and a file of that content beside it."""
    store = Store(folder)
    store.save(GOOD)
    (store.cells / f"{name}.json").write_bytes(content)
    return store


def check_sound(result: Result) -> None:
    """What tables, statistics and joins take for granted, looked up in another way than we do."""
    raw = json.loads(result.model_dump_json())
    assert raw["key"] == key_of(raw["identity"])
    ids = raw["forget_set"]["doc_ids"]
    assert len(set(ids)) == len(ids)
    assert {*raw["forget_set"]["prefixes"], *raw["forget_set"]["suffixes"]} <= {*ids}
    assert len({(m["task"], m["name"]) for m in raw["metrics"]}) == len(raw["metrics"])
    for metric in raw["metrics"]:
        assert 0 < metric["scale"] < math.inf
        assert 0 <= metric["decimals"] <= 20
    for scores in raw["scores"].values():
        for score in scores.values():
            assert score["n"] >= 0
            assert not score["documents"] or len(score["documents"]) == score["n"]
            assert score["stderr"] is None or not score["stderr"] < 0
    epochs = [epoch["epoch"] for epoch in (raw["trace"] or {"epochs": []})["epochs"]]
    assert epochs == sorted(set(epochs))
    for epoch in (raw["trace"] or {"epochs": []})["epochs"]:
        assert {row["doc_id"] for row in epoch["rows"]} <= {*ids}
    assert all(v >= 0 for cost in raw["costs"].values() for v in cost.values())
    assert raw["seconds"] >= 0
    for name in ("seed", "role", "group", "protocol"):
        if name in raw["identity"]:
            assert repr(raw["identity"][name]) == repr(raw[name])


def check_report(folder, sections=None, formats=IN_TEXT) -> None:
    """Every section in those formats; only what a person can put right may be refused."""
    results, _ = read_results(folder)
    for name in sections or names():
        try:
            document = make_document(shown_in(folder, results).findings, (name,))
        except UserError as error:
            assert is_one_line(str(error))  # noqa: PT017 - a refusal is as good as an answer
            continue
        for one in formats:
            registry.find("reports", one)().files(document, "x")


@fuzz(120, content=st.binary(max_size=60) | damaged(WHOLE[:400]))
def test_no_bytes_are_a_result(content):
    with new_folder() as folder:
        store = stored(folder, OTHER.key, content)
        results, (damage,) = store.load_all()
        assert results == [GOOD]
        assert is_one_line(damage.reason)
        assert isinstance(store.load(OTHER.key), Damage)


@fuzz(120, content=damaged(WHOLE))
def test_a_damaged_file_is_named_or_says_something_sound(content):
    with new_folder() as folder:
        for result in check_read(stored(folder, OTHER.key, content)):
            check_sound(result)


@fuzz(100, raw=spoilt(RAW).map(with_its_key))
def test_what_is_read_of_a_spoilt_result_is_sound_and_can_be_reported(raw):
    with new_folder() as folder:
        store = stored(folder, name_for(raw), written(raw).encode("utf-8", "surrogatepass"))
        accepted = check_read(store)
        for result in accepted:
            check_sound(result)
            parsed(written(raw).encode())  # no name stands there twice
        if accepted:
            check_report(folder)


@fuzz(3, raw=spoilt(RAW, at_most=1).map(with_its_key))
def test_what_is_read_of_a_spoilt_result_can_be_drawn(raw):
    with new_folder() as folder:
        store = stored(folder, name_for(raw), written(raw).encode())
        if check_read(store):
            figures = [n for n, k in registry.reports().items() if issubclass(k, Figure)]
            check_report(folder, ("table", "process"), ("html", *figures))


def name_for(raw: object) -> str:
    key = raw.get("key") if isinstance(raw, dict) else None
    return key if isinstance(key, str) and len(key) == 64 and key.isalnum() else OTHER.key


def check_read(store: Store) -> list[Result]:
    """The results beside the good one, having seen that the rest is named in one line."""
    results, damages = store.load_all()
    assert GOOD in results
    assert len(results) + len(damages) == len(list(store.cells.iterdir()))
    assert all(is_one_line(damage.reason) for damage in damages)
    return [result for result in results if result.key != GOOD.key]


@fuzz(24, content=damaged(WHOLE))
def test_the_command_line_names_what_it_leaves_out(content):
    with new_folder() as folder:
        stored(folder, "0" * 64, content)  # under another name: whatever it holds is no result
        status, out, err = command("report", folder, "--csv")
        assert status == 1
        assert out.count("\n") == 2  # the heading and the good one's line
        (line,) = err.splitlines()
        assert line.startswith(f"unlearnbench: left out {folder / 'cells' / ('0' * 64)}.json: ")


def test_the_whole_result_is_read():
    with new_folder() as folder:
        assert check_read(stored(folder, OTHER.key, WHOLE)) == [OTHER]
        check_report(folder)


SCORE, ROW = ("scores", "t", "ma"), ("trace", "epochs", 1, "rows", 0)
CONTRADICTIONS = {
    "a negative count": ((*SCORE, "n"), -1, "n: -1"),
    "another number of documents": ((*SCORE, "n"), 3, "documents: 2"),
    "a negative error": ((*SCORE, "stderr"), -0.5, "stderr"),
    "another direction": ((*SCORE, "higher_is_better"), True, "direction"),
    "a column twice": (("metrics",), RAW["metrics"] * 2, "is there twice"),
    "no decimals": (("metrics", 0, "decimals"), -1, "decimals"),
    "endless decimals": (("metrics", 0, "decimals"), 10**6, "decimals"),
    "a scale of nothing": (("metrics", 0, "scale"), 0.0, "scale"),
    "a scale that is none": (("metrics", 0, "scale"), math.nan, "scale"),
    "a row twice": (("forget_set", "doc_ids"), ["3", "3", "ä\t7"], "doc_ids"),
    "texts of another set": (("forget_set", "prefixes"), {"8": ""}, "prefixes"),
    "too few pairs": (("forget_set", "pair_doc_ids"), ["3"], "pair_doc_ids"),
    "epochs out of order": (("trace", "epochs"), RAW["trace"]["epochs"][::-1], "epoch: 0 after 1"),
    "an epoch after the last": (("trace", "n_epochs"), 0, "n_epochs"),
    "more active rows than rows": (("trace", "epochs", 1, "n_active"), 3, "n_active"),
    "a row of another set": ((*ROW, "doc_id"), "8", "rows"),
    "another outcome": (("trace", "outcome"), "not_forgotten", "outcome"),
    "a reference that was trained": (("role",), "before", "role"),
    "an error of what went well": (("error",), "boom", "error"),
    "another seed": (("seed",), 8, "seed"),
    "other settings": (("method", "settings"), {"alpha": 0.1}, "settings"),
    "another protocol": (("protocol",), {"perplexity_cap": 10.0}, "protocol"),
    "a cap that is true": (("protocol", "perplexity_cap"), True, "perplexity_cap"),
    "a cap that is none": (("protocol", "perplexity_cap"), math.nan, "perplexity_cap"),
    "a cap under zero": (("protocol", "perplexity_cap"), -1, "perplexity_cap"),
    "time that ran back": (("seconds",), -1.0, "seconds"),
    "memory under zero": (("costs", "unlearn", "peak_memory_bytes"), -1, "peak_memory_bytes"),
    "no time at all": (("started_at",), "yesterday", "started_at"),
}  # fmt: skip
MISSHAPEN = {
    "a digest that is a number": (("identity", "texts", "pile"), 3, "texts: a digest"),
    "a digest that is null": (("identity", "encoders", "bert"), None, "encoders: a digest"),
    "a forget set's digest in a list": (("identity", "forget_set", "sha256"), ["1"], "sha256"),
}


@pytest.mark.parametrize("case", [*CONTRADICTIONS, *MISSHAPEN])
def test_what_no_run_can_say_is_no_result(tmp_path, case):
    place, value, told = (CONTRADICTIONS | MISSHAPEN)[case]
    raw = json.loads(WHOLE)
    owner = raw
    for step in place[:-1]:
        owner = owner[step]
    owner[place[-1]] = value
    with_its_key(raw)
    store = stored(tmp_path, raw["key"], json.dumps(raw).encode())
    (damage,) = store.load_all()[1]
    assert damage.reason.startswith("not a result: ")
    assert told in damage.reason


def test_a_name_that_stands_there_twice_is_damage(tmp_path):
    content = WHOLE.replace(b'"seconds": 1.0', b'"seconds": 9.0, "seconds": 1.0')
    (damage,) = stored(tmp_path, OTHER.key, content).load_all()[1]
    assert damage.reason == "damaged: 'seconds' stands there twice"


# ---- the summary


@pytest.fixture(scope="module")
def summarised(tmp_path_factory):
    """A folder that is read through its summary, and the summary's content."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_module, "WORTH_KEEPING", 1)
        store = Store(tmp_path_factory.mktemp("summary"))
        for seed in range(3):
            store.save(rich(seed))
        store.load_all()
        _summarised.append((store, (store.folder / "summary" / "cells.txt").read_bytes()))
        yield
        _summarised.clear()


_summarised: list = []


def check_summary(content: bytes) -> None:
    store, _ = _summarised[0]
    (store.folder / "summary" / "cells.txt").write_bytes(content)
    results, damages = store.load_all()
    assert damages == []
    assert sorted(r.seed for r in results) == [0, 1, 2]
    assert all(result == rich(result.seed) for result in results)


@fuzz(60, data=st.data())
def check_damaged_summary(data):
    check_summary(data.draw(damaged(_summarised[0][1])))


@fuzz(60, data=st.data())
def check_forged_summary(data):
    """Every line has its checksum; what cannot be an entry is made again from the files."""
    from unlearnbench.results.summary import _header

    body = _summarised[0][1].partition(b"\n")[2]
    first, *lines = body.split(b"\n")
    raw = data.draw(st.just(json.loads(first)) | spoilt(json.loads(first)) | values)
    lines = data.draw(st.permutations(lines) | st.just(lines[:1]) | st.just([*lines, b"x\ty"]))
    cut = [data.draw(st.just(line) | st.just(line.split(b"\t")[0])) for line in lines]
    body = b"\n".join([written(raw).encode(), *cut])
    check_loaded_at_all(f"{json.dumps(_header(body))}\n".encode() + body)


def check_loaded_at_all(content: bytes) -> None:
    store, _ = _summarised[0]
    (store.folder / "summary" / "cells.txt").write_bytes(content)
    assert len(store.load_all()[0]) == 3


def test_a_damaged_summary_changes_nothing(summarised):
    check_damaged_summary()


def test_a_forged_summary_raises_nothing(summarised):
    check_forged_summary()


# ---- what belongs to experiments, and what is nobody's

OWN = 'title = "own"\n[run]\nmodel = ["nano-neo"]\n'
PLANNED = PlannedCell(question="0" * 64, title="t", position=1, label="w/o")
RECORD = Recorded(name="own", definition=OWN, cells=[PLANNED])


def kept(folder):
    """The record of a run, written by its writer."""
    return record(folder, Named("own", parse_definition(OWN, "own"), OWN), [PLANNED])


@fuzz(
    100,
    content=damaged(RECORD.model_dump_json(indent=1).encode())
    | spoilt(json.loads(RECORD.model_dump_json())).map(lambda raw: written(raw).encode()),
)
def test_an_edited_record_of_an_experiment_is_named_and_left_out(content):
    with new_folder() as folder:
        path = kept(folder)
        whole = path.read_bytes()
        path.write_bytes(content)
        if content == whole:
            return
        with pytest.raises(UserError) as caught:
            select(folder, "own", [GOOD])
        assert is_one_line(str(caught.value))
        assert str(path) in str(caught.value)


@fuzz(80, name=texts, definition=texts | st.just(OWN), position=st.integers(), label=texts)
def test_a_foreign_record_with_a_fitting_name_is_named_or_read(name, definition, position, label):
    import hashlib

    one = {"question": "q", "title": "t", "position": position, "label": label}
    raw = {"name": "own", "definition": definition, "cells": [one, {**one, "title": name}]}
    content = json.dumps(raw).encode()
    with new_folder() as folder:
        (folder / "experiments").mkdir()
        digest = hashlib.sha256(content).hexdigest()[:12]
        (folder / "experiments" / f"own.{digest}.json").write_bytes(content)
        try:
            found = select(folder, "own", [GOOD])
        except UserError as error:
            assert is_one_line(" ".join(str(error).split()))  # noqa: PT017
        else:
            assert [cell.question for cell in found.missing] == ["q"]


def test_a_record_that_is_no_file_is_named(tmp_path):
    import os

    kept(tmp_path)
    (tmp_path / "experiments" / "own.1.json").symlink_to("nowhere")
    (tmp_path / "experiments" / "own.2.json").mkdir()
    os.mkfifo(tmp_path / "experiments" / "own.3.json")
    found = select(tmp_path, "own", [GOOD])
    assert len(found.damages) == 3
    assert all("cannot be read" in damage for damage in found.damages)


@fuzz(12, content=st.binary(max_size=40), name=st.sampled_from([
    "lock", "cells/.x.json.1.tmp", "cells/x.json.bak", "experiments/0.toml", "logs/0.log",
    "claims/0", "summary/.cells.txt.1.tmp", "judge/notes.txt", "human/notes.txt", "notes",
]))  # fmt: skip
def test_what_else_lies_in_the_folder_changes_nothing(content, name):
    with new_folder() as folder:
        store = Store(folder)
        store.save(GOOD)
        before = command("report", folder, "--csv")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        assert command("report", folder, "--csv") == before


@pytest.mark.slow
@pytest.mark.parametrize("check", thorough(globals()), ids=lambda one: one.__name__)
def test_many_times(check, summarised):
    check.thorough()
