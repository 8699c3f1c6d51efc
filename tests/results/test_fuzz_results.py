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
    written,
)
from hypothesis import strategies as st
from stored_cases import Files, full_result, parts_of, sealed

from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.experiments.named import Named, parse_definition
from unlearnbench.experiments.recorded import PlannedCell, Recorded, record, select
from unlearnbench.reading import choose_results, read_results
from unlearnbench.reporting.sections import make_document, names
from unlearnbench.results.record import EvaluationSetRecord, PhaseRecord, Result, key_of
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
RAW, LINES = parts_of(OTHER)
WHOLE = sealed(json.dumps(RAW), list(map(json.dumps, LINES)))
IN_TEXT = ("csv", "json", "plain", "markdown", "latex", "latex-fragment")


def stored(folder, name: str, files: Files) -> Store:
    """A folder with a good result and those files beside it."""
    store = Store(folder)
    store.save(GOOD)
    files.put(store.cells, name)
    return store


def with_digests(raw: object, lines: object) -> Files:
    """Files that say of any content that it is whole."""
    return sealed(written(raw), list(map(written, lines)) if isinstance(lines, list) else [])


def check_report(folder, sections=None, formats=IN_TEXT) -> None:
    """Every section in those formats; only what a person can put right may be refused."""
    results, _ = read_results(folder)
    for name in sections or names():
        try:
            document = make_document(choose_results(folder, results).findings, (name,))
        except UserError as error:
            assert is_one_line(str(error))  # noqa: PT017 - a refusal is as good as an answer
            continue
        for one in formats:
            registry.find("reports", one)().files(document, "x")


@fuzz(120, content=st.binary(max_size=60) | damaged(WHOLE.header[:400]))
def test_no_bytes_are_a_result(content):
    with new_folder() as folder:
        store = stored(folder, OTHER.key, WHOLE._replace(header=content))
        results, (damage,) = store.load_all()
        assert results == [GOOD]
        assert is_one_line(damage.reason)
        assert isinstance(store.load(OTHER.key), Damage)


@fuzz(120, header=damaged(WHOLE.header), documents=damaged(WHOLE.documents))
def test_what_is_damaged_is_noticed(header, documents):
    with new_folder() as folder:
        assert check_read(stored(folder, OTHER.key, WHOLE._replace(header=header))) in ([], [OTHER])
        store = stored(folder, OTHER.key, WHOLE)
        (path,) = store.cells.glob(f"{OTHER.key}.*.gz")
        path.write_bytes(documents)
        assert check_read(store) == ([OTHER] if documents == WHOLE.documents else [])


def check_read(store: Store) -> list[Result]:
    """The results beside the good one, having seen that the rest is named in one line."""
    results, damages = store.load_all()
    assert GOOD in results
    assert len(results) + len(damages) == len(list(store.cells.glob("*.json")))
    assert all(is_one_line(damage.reason) for damage in damages)
    return [result for result in results if result.key != GOOD.key]


@fuzz(24, content=damaged(WHOLE.header))
def test_the_command_line_names_what_it_leaves_out(content):
    with new_folder() as folder:
        stored(
            folder, "0" * 64, WHOLE._replace(header=content)
        )  # under another name: whatever it holds is no result
        status, out, err = command("report", folder, "--csv")
        assert status == 1
        assert out.count("\n") == 2  # the heading and the good one's line
        (line,) = err.splitlines()
        assert line.startswith(f"unlearnbench: left out {folder / 'cells' / ('0' * 64)}.json: ")


def test_the_whole_result_is_read():
    with new_folder() as folder:
        assert check_read(stored(folder, OTHER.key, WHOLE)) == [OTHER]
        check_report(folder)


SCORE = ("scores", "t", "ma")
UNFIT = {
    "no decimals": (("metrics", 0, "decimals"), -1, "decimals"),
    "endless decimals": (("metrics", 0, "decimals"), 10**6, "decimals"),
    "a scale of nothing": (("metrics", 0, "scale"), 0.0, "scale"),
    "a scale that is none": (("metrics", 0, "scale"), math.nan, "scale"),
    "time that ran back": (("seconds",), -1.0, "seconds"),
    "memory under zero": (("costs", "unlearn", "peak_memory_bytes"), -1, "peak_memory_bytes"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_no_table_can_show_is_no_result(tmp_path, case):
    place, value, told = UNFIT[case]
    raw = json.loads(json.dumps(RAW))
    owner = raw
    for step in place[:-1]:
        owner = owner[step]
    owner[place[-1]] = value
    store = stored(tmp_path, raw["key"], with_digests(raw, LINES))
    (damage,) = store.load_all()[1]
    assert damage.reason.startswith("not a result: ")
    assert told in damage.reason


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
    "claims/0", "before-upgrade/x.json", "judge/notes.txt", "human/notes.txt", "notes",
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
def test_many_times(check):
    check.thorough()
