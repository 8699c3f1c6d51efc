"""`run --sequence` from end to end on a tiny model: steps, kept models, rows, report and figure."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
from tiny import cli, numbers
from unlearning_fakes import tiny_model

from unlearnbench.analysis.sequences import AT_ONCE, IN_TURN, requests_of
from unlearnbench.data.forget_set import open_source, read_forget_set
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.protocol import Protocol
from unlearnbench.results.record import Result
from unlearnbench.results.store import Store


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("world"))) as built:
        rows = (built.folder / "forget.jsonl").read_text().splitlines()
        (built.folder / "sets").mkdir()
        for name, own in (("a", rows[:3]), ("b", rows[2:5]), ("c", rows[5:])):
            (built.folder / "sets" / f"{name}.jsonl").write_text("\n".join(own) + "\n")
        yield built


def options(world, out: Path, *more: str) -> list[str]:
    sets = str(world.folder / "sets")
    return world.options(
        out, "--forget-set", sets, "--references", "before", *more, methods="kumpr"
    )


@pytest.fixture(scope="module")
def run(world, tmp_path_factory) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("run") / "out"
    command = options(world, out, "--sequence", "a,b,c")
    status, _, said = cli(*command)
    assert status == 0, said
    return out, command


def results_of(out: Path) -> dict[tuple[str, bool], Result]:
    """By requests so far and whether they came one after the other; of the method alone."""
    kept = [r for r in Store(out).load_all()[0] if r.role == "method"]
    return {("+".join(requests_of(r)), "sequence" in r.identity): r for r in kept}


def test_each_step_is_measured_on_all_rows_so_far(run):
    results = results_of(run[0])
    assert set(results) == {
        ("a", False), ("a+b", False), ("a+b+c", False), ("a+b", True), ("a+b+c", True),
    }  # fmt: skip
    assert {k: len(r.forget_set.doc_ids) for k, r in results.items()} == {
        ("a", False): 3, ("a+b", False): 5, ("a+b", True): 5,  # a and b share a row
        ("a+b+c", False): 8, ("a+b+c", True): 8,
    }  # fmt: skip
    assert results["a+b", True].identity["forget_set"]["requests"] == {"a": 3, "b": 2}
    in_turn, at_once = results["a+b", True], results["a+b", False]
    assert len(in_turn.scores["forgetting"]["ma"].documents) == 5
    # Of three rows alone each step costs less than of five, from another model.
    assert in_turn.costs["unlearn"].forward_tokens < at_once.costs["unlearn"].forward_tokens
    assert numbers(in_turn.model_dump())["scores"] != numbers(at_once.model_dump())["scores"]


def test_one_request_is_the_single_run(run, world, tmp_path):
    command = options(world, tmp_path / "single", "--runs", "a")
    assert cli(*command)[0] == 0
    [single] = results_of(tmp_path / "single").values()
    first = results_of(run[0])["a", False]
    assert first.key == single.key
    assert numbers(first.model_dump()) == numbers(single.model_dump())


def test_a_step_whose_models_are_gone_is_the_same_again(run):
    out, command = run
    last = results_of(out)["a+b+c", True]
    shutil.rmtree(out / "models")
    (out / "cells" / f"{last.key}.json").unlink()
    assert cli(*command)[0] == 0
    again = results_of(out)["a+b+c", True]
    assert numbers(again.model_dump())["scores"] == numbers(last.model_dump())["scores"]
    assert again.costs["unlearn"].forward_tokens == last.costs["unlearn"].forward_tokens


def test_the_report_shows_steps_and_what_became_of_each_request(run):
    status, text, _ = cli("report", str(run[0]), "--sections", "sequence")
    assert status == 0
    lines = [line.split() for line in text.splitlines()]
    steps = [line for line in lines if "KUMPR" in line]
    assert any(IN_TURN.split()[0] in line for line in steps)
    assert AT_ONCE in text
    assert "of each request's rows" in text
    results = results_of(run[0])
    means = results["a+b+c", True].scores["forgetting"]["ma"]
    of_a = [means.documents[i] for i in results["a+b+c", True].forget_set.doc_ids[:3]]
    assert f"{100 * sum(of_a) / 3:.1f}" in text
    both = results["a", False], results["a+b", True]
    total = sum(r.costs["unlearn"].forward_tokens for r in both)
    assert f"{total:,}" in text


def test_the_figure_has_a_line_for_both_ways(run, tmp_path):
    image = tmp_path / "steps.svg"
    assert cli("report", str(run[0]), "--sequence-curves", "-o", str(image))[0] == 0
    assert "KUMPR, at once" in image.read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--sequence", "a,z"), "run 'z'"),
        (("--sequence", "a,a"), "names a twice"),
        (("--sequence", "a,b", "--runs", "c"), "--sequence has no place beside --runs"),
    ],
)
def test_what_cannot_be_a_sequence_is_said(world, tmp_path, more, said):
    status, _, told = cli(*options(world, tmp_path, *more))
    assert status == 2
    assert said in told


def test_no_row_of_an_earlier_request_is_in_the_pool(tmp_path):
    texts = {"a": ["t3 t4 t5 t6", "t7 t8 t9 t10"], "b": ["t11 t12 t3 t4"]}
    for name, own in texts.items():
        rows = [json.dumps({"text": text, "doc_id": str(at)}) for at, text in enumerate(own)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    pool = [json.dumps({"text": text}) for text in (*texts["a"], "t12 t11 t10 t9")]
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "pool.jsonl").write_text("\n".join(pool))
    source = open_source(
        ForgetRequest(str(tmp_path), runs=("a", "a+b"), pool=str(beside / "pool.jsonl"))
    )
    model = tiny_model()
    rows = source.targets("a+b")
    assert rows.doc_ids == ("0", "1", "2:0")
    alone = read_forget_set(source, "b", model, Protocol())
    in_turn = read_forget_set(source, "b", model, Protocol(), among="a+b")
    assert (len(alone.pool), len(in_turn.pool)) == (3, 1)
    assert len(in_turn.rows) == 1
