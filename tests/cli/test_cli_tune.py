"""`unlearnbench tune` as a search by a budget: trials, what is chosen, resuming, failures."""

import json

import pytest
import tiny
from tiny import cli

from unlearnbench.experiments.learning_rates import read_learning_rates
from unlearnbench.results.store import Store
from unlearnbench.results.tunings import read_tunings


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        yield world


def command(world, out, *more, methods="kumpr,push", epochs="1"):
    options = world.options(out, methods=methods)[1:]
    del options[options.index("--tasks") : options.index("--tasks") + 4]  # tasks, kumpr's rate
    options[options.index("--max-epochs") + 1] = epochs
    return ["tune", *options, "--run", "0", *more]


SPACES = ("--space", "all.learning_rate=1e-3..1e-2", "--space", "push.weight=-1,0.5,1,2")


def test_a_random_search_is_planned_run_extended_and_reported(world, tmp_path):
    out, rates = tmp_path / "out", tmp_path / "rates.json"
    tune = command(world, out, *SPACES, "-o", rates, "--seed", "3")
    status, shown, told = cli(*tune, "--random", "1", "--dry-run")
    assert status == 0, told
    assert shown.count("to do") == 4  # two trials and the model before; then their sum
    assert "2 trials of 2 methods, 2 to do: " in shown
    assert "model + Push learning_rate=0.00" in shown
    assert not (out / "cells").exists()

    status, shown, told = cli(*tune, "--random", "1")
    assert "round" not in told
    assert [line.split()[0] for line in shown.splitlines()] == ["kumpr", "push"]
    few = read_learning_rates(rates)
    status, shown, told = cli(*tune, "--random", "2")
    assert "[1/2]" in told  # the first of each method is there
    assert status == 1  # a weight of -1 is an error, and loses no other trial
    assert "weight is negative" in told
    assert f"unlearnbench report {out} --sections budgets" in told
    more = read_learning_rates(rates)
    for name in ("kumpr", "push"):
        assert more.methods[name].candidates[:1] == few.methods[name].candidates
        budget = more.methods[name].budget
        assert (budget.sampler, budget.n, budget.seed) == ("random", 2, 3)
    push = more.methods["push"]
    assert push.budget.space == {"learning_rate": "1e-3..1e-2", "weight": "-1,0.5,1,2"}
    assert {c.outcome for c in push.candidates} == {"failed", "not_forgotten"}
    assert push.settings["weight"] > 0

    results, damages = Store(out).load_all()
    assert (len(results), damages) == (5, [])
    _, trials = read_tunings(out).apart(results)
    assert [t.method.name for t in trials] == ["kumpr"] * 2 + ["push"] * 2
    assert [t.key for t in trials] == [c.key for m in more.methods.values() for c in m.candidates]

    _, shown, _ = cli("report", out, "--sections", "table,budgets")
    flat = " ".join(shown.split())
    assert "The rows are 4 trials of tuning on forget set" in flat
    assert "Searched on forget set" in flat
    assert "2 random configurations of each of 2 methods (seed 3); where: learning_rate" in flat
    assert "A trial that failed or collapsed counts as 0.0." in flat

    for options, why in (
        (("--score", "nope"), "--score is of the section 'budgets' alone"),
        (("--score", "nope", "--sections", "budgets"), "unknown --score 'nope'"),
        (("--score", "pile_ppl", "--compare", out), "--score has no place in --compare"),
        (("--trainings", ","), "--trainings names no model"),
    ):
        status, _, told = cli("report", out, *options)
        assert status == 2
        assert why in told
    _, shown, _ = cli("report", out, "--sections", "budgets", "--score", "pile_ppl")
    assert "Expected best of k configurations" in shown

    longer = command(world, out, *SPACES, "-o", tmp_path / "longer.json", epochs="2")
    assert cli(*longer, "--seed", "3", "--random", "1", "--methods", "kumpr")[0] == 0
    records = [one for one in read_tunings(out).records if one.method == "kumpr"]
    assert sorted((r.n, len(r.trials), r.settings["max_epochs"]) for r in records) == [
        (1, 1, 2),
        (2, 2, 1),
    ]

    run = [*command(world, out)[1:-2], "--runs", "0", "--tasks", "perplexity"]
    same = ("--el-epochs", "deciding", "--learning-rates", rates)
    status, shown, told = cli("run", *run, *same)
    assert "0 cells run, 3 from before" in told
    assert "has 8 rows of forget, on which settings were tuned" in told
    assert "model + Push" in shown  # asked for, though the same cell was a trial
    assert "A run asked for these rows, too: 2 trials of tuning" in " ".join(shown.split())


def test_a_search_that_learns_asks_for_optuna(world, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    status, shown, told = cli(*command(world, tmp_path / "out", "--optuna", "2"))
    assert (status, shown) == (2, "")
    assert "--optuna needs optuna: pip install 'unlearnbench[optuna]'" in told


def test_a_search_that_learns_goes_on_where_it_stopped(world, tmp_path):
    pytest.importorskip("optuna", reason="optuna is not installed")
    out, rates = tmp_path / "out", tmp_path / "rates.json"
    tune = command(world, out, *SPACES[:2], "-o", rates, methods="push")
    status, _, told = cli(*tune, "--optuna", "2")
    assert status == 0, told
    assert "round 2 of 2: a configuration of each of 1 methods" in told
    first = json.loads(rates.read_text())["methods"]["push"]
    assert first["budget"]["sampler"] == "tpe"
    status, _, told = cli(*tune, "--optuna", "3")
    assert status == 0, told
    again = json.loads(rates.read_text())["methods"]["push"]
    assert again["candidates"][:2] == first["candidates"]
    assert len(Store(out).load_all()[0]) == 4
    assert len(read_tunings(out).records[0].trials) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--random", "2", "--grid", "1e-4"), "--grid names a grid, and --random draws"),
        (("--random", "2", "--optuna", "2"), "two ways to search"),
        (("--seed", "3"), "--seed is of draws; say how many: --random 12"),
        (("--space", "push.weight=1..2"), "--space is of draws"),
        (("--seeds", "1,2"), "give one seed"),
        (("--until", "epochs"), "say which score is to be best"),
        (("--tasks", "perplexity"), "say which score is to be best"),
        (("--random", "2", "--space", "push.wait=1..2"), "did you mean 'weight'"),
        (("--methods", "retain_only"), "a sham is not tuned"),
        (("--tasks", "forgetting", "--score", "nope"), "unknown --score 'nope'"),
        (("--tasks", "forgetting", "--score", "el10,m"), "did you mean 'ma'"),
        (("--benchmark", "nano-tofu"), "say which score is to be best: --score model_utility"),
    ],
)
def test_what_goes_not_together_is_told_before_anything_runs(world, tmp_path, options, told):
    status, shown, error = cli(*command(world, tmp_path / "out", *options))
    assert (status, shown) == (2, "")
    assert told in error
    assert not (tmp_path / "out" / "cells").exists()
    assert not (tmp_path / "out" / "tuning").exists()
