"""`run --references shams` from end to end on a tiny model: kept models, unlearned again, notes."""

import shutil
from pathlib import Path

import pytest
import tiny
from tiny import cli, numbers

from unlearnbench.results.record import Result
from unlearnbench.results.store import Store


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("world"))) as built:
        yield built


@pytest.fixture(scope="module")
def run(world, tmp_path_factory) -> tuple[Path, str, tuple[str, ...]]:
    out = tmp_path_factory.mktemp("run") / "out"
    command = world.options(out, "--references", "before,shams", methods="kumpr,whp")
    status, table, told = cli(*command)
    assert status == 0, told
    return out, table, tuple(command)


def by_label(out: Path) -> dict[str, Result]:
    results = {r.label.partition(" + ")[2]: r for r in Store(out).load_all()[0]}
    assert len(results) == len(list((out / "cells").glob("*.json")))
    return results


def test_sham_rows_stand_in_the_table_and_are_not_compared(run):
    out, table, _ = run
    results = by_label(out)
    assert set(results) == {
        "", "KUMPR", "WHP", "noise (KUMPR)", "noise (WHP)", "retain only",
    }  # fmt: skip
    assert {results[n].role for n in ("noise (KUMPR)", "noise (WHP)", "retain only")} == {"sham"}
    assert "Must not look like unlearning, not ranked and not in s_z and s_m" in table
    for name in ("noise (KUMPR)", "noise (WHP)"):
        assert results[name].status == "ok"
        assert results[name].trace is None
        assert "noise" in results[name].costs
        assert "unlearn" not in results[name].costs  # the kept model was taken
    assert results["retain only"].trace.n_epochs == 2
    losses = [epoch.losses for epoch in results["retain only"].trace.epochs[1:]]
    assert all(set(of) == {"retain"} for of in losses)
    assert losses[1]["retain"] < losses[0]["retain"]


def test_a_model_that_was_not_kept_is_unlearned_again_with_the_same_numbers(run):
    out, _, command = run
    before = by_label(out)
    shutil.rmtree(out / "models")
    for name in ("noise (KUMPR)", "noise (WHP)"):
        (out / "cells" / f"{before[name].key}.json").unlink()
    status, _, told = cli(*command)
    assert status == 0, told
    after = by_label(out)
    for name in ("noise (KUMPR)", "noise (WHP)"):
        assert numbers(after[name].model_dump()["scores"]) == numbers(
            before[name].model_dump()["scores"]
        )
        assert "unlearn" in after[name].costs
    assert (out / "models" / before["KUMPR"].key).is_dir()


@pytest.mark.slow
def test_noise_of_a_method_that_collapsed_says_so(world, tmp_path):
    rates = ("--set", "kumpr.learning_rate=1e30", "--set", "kumpr.batch_size=2")
    command = world.options(tmp_path / "out", "--references", "shams", *rates, methods="kumpr")
    cli(*command)
    results = by_label(tmp_path / "out")
    assert results["KUMPR"].status == results["noise (KUMPR)"].status == "failed"
    assert "KUMPR collapsed" in results["noise (KUMPR)"].error
    assert "its update has no norm" in results["noise (KUMPR)"].error
