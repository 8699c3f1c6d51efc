"""What a run decides around its cells: rates, estimates, tuning's rule, the environment."""

import json
import subprocess
from importlib.metadata import version
from math import exp
from types import SimpleNamespace

import pytest
from stored_cases import make_result

from unlearnbench.analysis.budgets.scoring import mean_log_perplexity
from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.experiments import planner as planning
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import (
    Candidate,
    LearningRates,
    Tried,
    Tuned,
    choose,
    distance_to_line,
    learning_rates,
    read_learning_rates,
)
from unlearnbench.experiments.method_settings import choose_settings
from unlearnbench.experiments.trials import grid_trials, parse_tries, tuning_experiments
from unlearnbench.files.strict_json import canonical
from unlearnbench.nano import NANO
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find
from unlearnbench.results.record import EpochRecord, UnlearnTrace, key_of
from unlearnbench.results.score import Score
from unlearnbench.running import environment
from unlearnbench.running.cell_record import _stop_record

TRIED = Candidate(
    learning_rate=1e-4,
    reached=True,
    outcome="forgotten",
    n_epochs=3,
    distance=0.0,
    mean_log_perplexity=2.0,
)
TUNED = LearningRates(
    model="m",
    weights_sha256="0",
    forget_set="nano/forget_tuning",
    run="tuning",
    protocol="paper",
    grid=[1e-4],
    methods={"kumpr": Tuned(learning_rate=1e-4, reached=True, candidates=[TRIED])},
)
RELEASED = Protocol.named("released")


@pytest.mark.parametrize(
    ("explicit", "n_parameters", "protocol", "tuned", "expected"),
    [
        ({}, 125_000_000, Protocol(), None, {}),
        ({}, 1_300_000_000, Protocol(), None, {"batch_size": 4}),
        ({}, 1_300_000_000, RELEASED, None, {"batch_size": 4, "learning_rate": 2e-6}),
        ({}, 125_000_000, RELEASED, None, {}),
        ({}, 1_300_000_000, RELEASED, TUNED, {"batch_size": 4, "learning_rate": 1e-4}),
        ({"learning_rate": 3.0}, 10**6, Protocol(), TUNED, {"learning_rate": 3.0}),
        ({"batch_size": 16}, 2 * 10**9, Protocol(), None, {"batch_size": 16}),
    ],
)
def test_explicit_beats_tuned_beats_large_model_rule(
    explicit, n_parameters, protocol, tuned, expected
):
    kumpr = find("methods", "kumpr")
    chosen = choose_settings(kumpr, explicit, Experiment(), n_parameters, protocol, tuned, "paper")
    assert chosen.values == expected
    assert set(chosen.origins) == set(expected)
    for name in explicit:
        assert chosen.origins[name] == f"--set kumpr.{name}"
    if tuned and not explicit:
        assert tuned.rule in chosen.origins["learning_rate"]


def test_a_large_model_keeps_a_rate_that_is_the_methods_own():
    size = 1_300_000_000
    undial = find("methods", "undial")
    chosen = choose_settings(undial, {}, Experiment(), size, RELEASED, None, "paper")
    assert chosen.values == {"batch_size": 4}
    assert undial().learning_rate == 1e-4


def test_a_flag_for_every_method_beats_tuning_and_a_setting_of_one_method_beats_the_flag():
    flags = Experiment(max_epochs=7, batch_size=2)
    tuned = TUNED.model_copy(update={"max_epochs": 12})
    icu = find("methods", "icu")
    chosen = choose_settings(icu, {"batch_size": 1}, flags, 2 * 10**9, Protocol(), tuned, "paper")
    assert chosen.values == {"max_epochs": 7, "batch_size": 1}
    assert chosen.origins == {"max_epochs": "--max-epochs", "batch_size": "--set icu.batch_size"}


def test_a_file_without_rates_is_a_user_error(tmp_path):
    path = tmp_path / "rates.json"
    for text in ("{", "{}", '{"rule": 1}'):
        path.write_text(text)
        with pytest.raises(UserError, match="unlearnbench tune"):
            read_learning_rates(path)
    path.write_text(TUNED.model_dump_json())
    assert read_learning_rates(path) == TUNED


def tried(rate, outcome, ppl=(10.0, 10.0), el=0.0, ma=0.5, max_epochs=20, n_epochs=3):
    """The result of one candidate rate, with a stop line at EL 0.05, MA 0.6."""
    result = make_result(rate=rate)
    result.method.settings.update(learning_rate=rate, max_epochs=max_epochs)
    last = EpochRecord(epoch=3, metrics={"el": el, "ma": ma})
    result.trace = UnlearnTrace(outcome=outcome, n_epochs=n_epochs, epochs=[last])
    result.scores = {
        "perplexity": {
            f"text{i}": Score(value=value, n=1, higher_is_better=False)
            for i, value in enumerate(ppl)
        }
    }
    return result


def chosen_from(*results):
    return learning_rates(list(results)).methods["icu"]


def test_tuning_takes_the_rate_that_keeps_most_utility_among_those_that_forget():
    best = chosen_from(
        tried(1e-5, "not_forgotten", (2.0, 2.0), el=0.5),
        tried(1e-4, "forgotten", (10.0, 40.0)),
        tried(2e-4, "forgotten", (19.0, 19.0)),
        tried(5e-4, "collapsed"),
    )
    # The mean of logarithms decides: sqrt(10 * 40) = 20 > 19, though 25 is not the mean of 19s.
    assert (best.learning_rate, best.reached) == (2e-4, True)
    assert [c.learning_rate for c in best.candidates] == [1e-5, 1e-4, 2e-4, 5e-4]


def test_tuning_leaves_half_of_the_epochs_to_harder_forget_sets():
    late = tried(1e-5, "forgotten", (2.0, 2.0), n_epochs=11)
    early = tried(1e-4, "forgotten", (9.0, 9.0), n_epochs=10)
    assert chosen_from(late, early).learning_rate == 1e-4
    assert chosen_from(late, tried(1e-4, "not_forgotten")).learning_rate == 1e-5


def test_tuning_prefers_the_smaller_of_equal_rates():
    equal = [tried(rate, "forgotten") for rate in (2e-4, 1e-4)]
    assert chosen_from(*equal).learning_rate == 1e-4


def test_tuning_flags_that_nothing_reached_the_line_and_takes_the_nearest():
    best = chosen_from(
        tried(1e-5, "not_forgotten", el=0.9, ma=0.9),
        tried(1e-4, "not_forgotten", el=0.04, ma=0.65),
        tried(5e-4, "collapsed"),
    )
    assert (best.learning_rate, best.reached) == (1e-4, False)
    assert best.candidates[1].distance == pytest.approx(0.05)
    assert best.candidates[2].distance is None


def test_the_distance_to_the_line_is_by_the_rule_the_method_stops_by():
    result = tried(1e-5, "not_forgotten", el=0.15, ma=0.8)
    assert distance_to_line(result) == pytest.approx(0.1 + 0.2)
    result.stop.rule = "or"
    assert distance_to_line(result) == pytest.approx(0.1)


def test_the_file_says_what_the_rates_were_tried_with():
    written = learning_rates([tried(r, "forgotten", max_epochs=7) for r in (1e-5, 1e-4)])
    assert (written.max_epochs, written.protocol, written.stop) == (7, "paper", "paper")
    unlike = [tried(1e-5, "forgotten", max_epochs=m) for m in (7, 8)]
    assert learning_rates(unlike).max_epochs is None


@pytest.mark.parametrize(
    ("protocol", "stop", "told"),
    [
        ("paper", "calibrated", "tuned on forget set"),
        ("released", "calibrated", "tuned under protocol paper on forget set"),
        ("paper", "paper", "tuned under the calibrated stop line on forget set"),
    ],
)
def test_rates_tuned_under_something_else_are_used_and_say_so(protocol, stop, told):
    tuned, kumpr = TUNED.model_copy(update={"stop": "calibrated"}), find("methods", "kumpr")
    chosen = choose_settings(
        kumpr, {}, Experiment(protocol=protocol), 10**6, Protocol(), tuned, stop
    )
    assert chosen.values == {"learning_rate": 1e-4}
    assert chosen.origins["learning_rate"].startswith(told)


def test_a_file_of_before_the_stop_line_was_kept_is_read(tmp_path):
    old = json.loads(TUNED.model_dump_json())
    del old["stop"]
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(old))
    rates = read_learning_rates(path)
    assert (rates.stop, rates.departure("paper", "calibrated")) == (None, "")


def test_a_collapsed_only_grid_still_names_a_rate_and_flags_it():
    best = choose(chosen_from(tried(5e-4, "collapsed"), tried(1e-4, "collapsed")).candidates, 8)
    assert (best.learning_rate, best.reached) == (1e-4, False)


def test_every_combination_of_a_methods_values_is_tried_with_every_rate():
    methods = ("icu", "kumpr", "llmu")
    tries = parse_tries(["icu.alpha=0.5, .5,1", "icu.refinement=true,false"], methods)
    assert tries == {"icu": {"alpha": ["0.5", "1"], "refinement": ["true", "false"]}}
    asked = Experiment(settings=("icu.beta=2", "kumpr.batch_size=4", "perplexity.window=64"))
    trials = grid_trials(methods, [2e-4, 1e-4], tries)
    assert {m: (b.sampler, b.n) for m, b in trials.budgets.items()} == {
        "icu": ("grid", 8), "kumpr": ("grid", 2), "llmu": ("grid", 2),
    }  # fmt: skip
    assert trials.beside_rates == {"icu": ("alpha", "refinement"), "kumpr": (), "llmu": ()}
    made = tuning_experiments(asked, trials.by_method)
    # The first of every method, the second of every method, then what only one has.
    assert [e.methods for e in made] == [methods] * 2 + [("icu",)] * 6
    rest = ("kumpr.learning_rate=0.0001", "llmu.learning_rate=0.0001")
    assert made[0].settings == (
        *("icu.beta=2", "kumpr.batch_size=4", "perplexity.window=64"),
        *("icu.alpha=0.5", "icu.refinement=true", "icu.learning_rate=0.0001", *rest),
    )
    assert [e.settings[:2] for e in made[2:]] == [("icu.beta=2", "perplexity.window=64")] * 6
    own = [tuple(s for s in e.settings if s.startswith("icu.") and "beta" not in s) for e in made]
    assert own == [
        (f"icu.alpha={a}", f"icu.refinement={r}", f"icu.learning_rate={rate}")
        for rate in ("0.0001", "0.0002")
        for a in ("0.5", "1")
        for r in ("true", "false")
    ]


def test_tuning_takes_the_smaller_rate_of_equals_and_then_the_first_value_tried():
    results = [tried(rate, "forgotten") for rate in (2e-4, 1e-4, 1e-4)]
    for result, alpha in zip(results, (0.1, 0.9, 0.5), strict=True):
        result.method.settings["alpha"] = alpha
    written = learning_rates(results, Tried({"icu": ("alpha",)}))
    best = written.methods["icu"]
    assert (best.learning_rate, best.settings) == (1e-4, {"alpha": 0.9})
    results[2].scores["perplexity"]["text0"].value = 9.0
    best = learning_rates(results, Tried({"icu": ("alpha",)})).methods["icu"]
    assert best.settings == {"alpha": 0.5}


def test_tuned_settings_are_chosen_beside_the_rate_and_give_way_to_set_and_flags():
    one = Tuned(
        learning_rate=1e-4,
        settings={"alpha": 0.1, "beta": 2.0, "batch_size": 2},
        reached=True,
        candidates=[TRIED],
    )
    tuned, icu = TUNED.model_copy(update={"methods": {"icu": one}}), find("methods", "icu")
    flags = Experiment(batch_size=4)
    chosen = choose_settings(icu, {"beta": 3.0}, flags, 10**6, Protocol(), tuned, "paper")
    assert chosen.values == {"learning_rate": 1e-4, "alpha": 0.1, "beta": 3.0, "batch_size": 4}
    assert chosen.origins["alpha"] == chosen.origins["learning_rate"]
    assert chosen.origins["alpha"].startswith("tuned on forget set nano/forget_tuning: ")
    assert (chosen.origins["beta"], chosen.origins["batch_size"]) == (
        "--set icu.beta",
        "--batch-size",
    )


@pytest.mark.parametrize("value", [0.1, 2, True, "nll", None])
def test_a_tuned_setting_comes_back_as_it_was_written(tmp_path, value):
    one = Tuned(learning_rate=1e-4, settings={"x": value}, reached=True, candidates=[TRIED])
    path = tmp_path / "rates.json"
    path.write_text(TUNED.model_copy(update={"methods": {"icu": one}}).model_dump_json())
    (read,) = read_learning_rates(path).methods["icu"].settings.values()
    assert (read, type(read)) == (value, type(value))


def test_mean_log_perplexity_is_that_of_the_texts():
    assert mean_log_perplexity(tried(1.0, "forgotten", (exp(2), exp(4)))) == pytest.approx(3)
    assert mean_log_perplexity(tried(1.0, "forgotten", (float("inf"),))) is None
    assert mean_log_perplexity(tried(1.0, "forgotten", ())) is None


def planner(**changes):
    asked = Experiment(**changes)
    return planning.Planner(asked, download=False)


@pytest.mark.parametrize(
    ("role", "is_own", "found"),
    [
        ("retrained", True, ("nano-retrained", None)),
        ("retrained", False, None),  # it has seen these rows as much as any other model
        ("dedup", False, ("nano-opt", None)),
    ],
)
def test_a_reference_row_is_one_for_these_data_and_of_its_own_revision(
    role, is_own, found, monkeypatch
):
    monkeypatch.setattr(planning, "choose_model", lambda asked, name, _: (name, asked.revision))
    references = {"dedup": "nano-opt", "retrained": "nano-retrained"}
    alias = SimpleNamespace(references=references, is_shipped=True)
    model = SimpleNamespace(alias=alias, requested="nano-neo", world=NANO)
    data = SimpleNamespace(world=NANO if is_own else None, benchmark=None)
    for asked, n_warnings in (("auto", 0), (role, found is None)):
        ours = planner(revision="v1", references=(asked,))
        assert ours._reference_model(role, model, data, "0") == found
        assert len(ours.warnings) == n_warnings


def test_processes_of_accelerate_take_one_cell_at_a_time(monkeypatch):
    ours = planner(jobs=3)
    assert ours._jobs([]) == 3
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="RANK is not there"):
        ours._jobs([])
    monkeypatch.setenv("RANK", "0")
    assert ours._jobs([]) == 0


@pytest.mark.parametrize(
    ("method", "protocol", "source", "rule", "ma"),
    [
        ("kumpr", RELEASED, "paper", "and", 0.2994),
        ("kumpr", RELEASED, "calibrated", "and", 0.5),  # the model's own line is no author's
        ("kumpr", Protocol(), "paper", "and", 0.5),
        ("dpo", RELEASED, "paper", "or", 0.5994),
        ("dpo", Protocol(), "paper", "and", 0.5),
        ("none", RELEASED, "paper", "and", 0.5994),
    ],
)
def test_the_recorded_line_is_the_one_the_method_stops_at(method, protocol, source, rule, ma):
    trained = method != "none"
    cell = SimpleNamespace(is_trained=trained, method=method, protocol=protocol, stop=source)
    line = StopLine(el=0.04, ma=0.5, source=source, n_unseen=7)
    stop = _stop_record(cell, line)
    assert (stop.rule, stop.ma, stop.el, stop.n_unseen) == (rule, ma, 0.04, 7)
    assert _stop_record(cell, None).rule == rule


def test_keys_do_not_depend_on_the_order_of_names():
    assert key_of({"a": 1, "b": {"c": 2.0, "d": None}}) == key_of(
        {"b": {"d": None, "c": 2.0}, "a": 1}
    )
    assert key_of({"a": 1e-5}) != key_of({"a": 2e-5})
    assert json.loads(canonical({"α": [1]})) == {"α": [1]}


def test_the_environment_names_versions_and_no_place():
    import torch

    found = environment.describe_environment()
    assert found.packages["torch"] == version("torch")
    assert found.n_threads == torch.get_num_threads()
    assert "/" not in found.model_dump_json()


def test_the_checkout_is_told_with_its_dirty_flag(tmp_path, monkeypatch):
    import unlearnbench

    package = tmp_path / "unlearnbench"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(unlearnbench, "__file__", str(package / "__init__.py"))
    environment._checkout.cache_clear()
    assert environment._checkout() == (None, None)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    environment._checkout.cache_clear()
    commit, dirty = environment._checkout()
    assert len(commit) == 40
    assert dirty is False
    (package / "new.py").write_text("")
    environment._checkout.cache_clear()
    assert environment._checkout() == (commit, True)
    environment._checkout.cache_clear()


def test_a_cell_starts_from_one_state_whatever_ran_before():
    import random

    import numpy as np
    import torch

    def drawn():
        environment.fix_randomness(7, 1)
        return torch.rand(3).tolist(), np.random.rand(), random.random()

    first = drawn()
    torch.manual_seed(1)
    assert drawn() == first
    assert torch.get_num_threads() == 1
