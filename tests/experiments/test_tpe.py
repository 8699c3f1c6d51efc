"""A search that learns by optuna: the same each time, and what it is told of a trial."""

import math

import pytest

from unlearnbench.experiments.learning_rates import Candidate
from unlearnbench.experiments.search_spaces import spaces_of
from unlearnbench.experiments.tpe import N_STARTUP, TpeSearch, by_the_line, searches_of


def candidate(**changes):
    fields = {
        "learning_rate": 1e-4, "reached": False, "outcome": "not_forgotten", "n_epochs": 3,
        "distance": 0.25, "mean_log_perplexity": 2.0,
    }  # fmt: skip
    return Candidate(**{**fields, **changes})


def test_a_trial_above_the_line_is_told_by_how_far_it_is_from_it():
    assert by_the_line(candidate(reached=True, outcome="forgotten", distance=0.0), 0.8) == 0.8
    assert by_the_line(candidate(), 0.8) == -0.25
    collapsed = by_the_line(candidate(outcome="collapsed", distance=None), 0.1)
    assert collapsed < by_the_line(candidate(distance=1.9), 1.0)
    assert by_the_line(candidate(outcome="failed"), None) is None


def asked(search, n, value):
    made = []
    for _ in range(n):
        values = search.ask()
        made.append(values)
        search.tell(value(values))
    return made


def near_a_rate(values):
    """Best at a rate of 3e-4 with NLL as the retain term."""
    away = abs(math.log10(float(values["learning_rate"]) / 3e-4))
    return -away - 0.5 * (values["retain"] != "nll")


@pytest.fixture
def spaces():
    pytest.importorskip("optuna", reason="optuna is not installed")
    return spaces_of(["npo", "gd"], ["all.retain=nll,kl", "all.alpha=none"], rates="1e-6..1e-2")


def test_the_same_seed_and_answers_ask_the_same_whatever_else_is_searched(spaces):
    few = asked(TpeSearch("npo", spaces["npo"], 3), 6, near_a_rate)
    more = asked(searches_of(spaces, 3)["npo"], 9, near_a_rate)
    assert more[:6] == few
    assert asked(TpeSearch("gd", spaces["gd"], 3), 1, near_a_rate)[0] != few[0]
    assert set(few[0]) == {"learning_rate", "beta", "retain"}
    assert {values["retain"] for values in more} <= {"nll", "kl"}


def test_it_learns_and_goes_on_after_a_failure(spaces):
    search = TpeSearch("gd", spaces["gd"], 0)
    search.ask()
    search.tell(None)
    values = asked(search, 24, near_a_rate)
    scores = [near_a_rate(one) for one in values]
    first, last = scores[:N_STARTUP], scores[-12:]
    assert sum(last) / len(last) > sum(first) / len(first) + 0.3
