"""The rule that takes one of the models that were tried."""

from types import SimpleNamespace
from typing import Any

import pytest
from certificates import KNOWN, LIMIT, UNKNOWN

from unlearnbench.forgetting.choice import Judged, choose, named, why_not
from unlearnbench.forgetting.trials import Rung
from unlearnbench.forgetting.trying import Trial, Trying


def one(key: str, loss: float | None = 0.01, **more: object) -> Judged:
    return Judged(key, True, utility_loss=loss, **more)  # type: ignore[arg-type]


def test_the_least_loss_is_taken_and_of_equals_the_cheaper_one() -> None:
    assert choose([one("a", 0.03), one("b", 0.01), one("c", 0.02)], 0.05) == one("b", 0.01)
    cheap, dear = one("cheap", 0.01, tokens=10), one("dear", 0.01, tokens=20)
    assert choose([dear, cheap], 0.05) == cheap


def test_a_gain_in_utility_is_no_reason_to_pay_more() -> None:
    gain, cheap = one("gain", -0.2, tokens=20), one("cheap", 0.0, tokens=10)
    assert choose([gain, cheap], 0.05) == cheap


def test_rows_of_earlier_requests_that_stay_away_come_first() -> None:
    back, away = one("back", 0.0, came_back=("1:a",)), one("away", 0.04)
    assert choose([back, away], 0.05) == away
    assert choose([back], 0.05) == back  # it is handed out, and the certificate says so


def test_what_does_not_qualify_says_why_and_is_never_taken() -> None:
    refused = {
        "did not reach the stop line": Judged("a", False, utility_loss=0.0),
        "2 rows still known: x, y": one("b", 0.0, rows_left=("x", "y")),
        "lost 6.0% of utility, more than 5.0%": one("c", 0.06),
        "lost inf% of utility, more than 5.0%": one("d", float("inf")),
        "its utility was not measured": one("e", None),
        "failed: out of memory": Judged("f", False, problem="failed: out of memory"),
    }
    assert [why_not(judged, 0.05) for judged in refused.values()] == list(refused)
    assert choose(list(refused.values()), 0.05) is None
    assert why_not(one("c", 0.05), 0.05) == ""  # the budget itself is not more than the budget


def test_long_lists_are_cut() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named(list("abcdefg"), 5) == "a, b, c, d, e and 2 more"


def test_a_model_that_knows_a_row_once_it_is_saved_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = {"a": {"x": UNKNOWN, "y": KNOWN}, "b": {"x": UNKNOWN, "y": UNKNOWN}}
    monkeypatch.setattr(Trying, "_rows_under", lambda _, trial: saved[trial.judged.key])
    said: list[str] = []
    prepared: Any = SimpleNamespace(max_loss=0.05)
    trying = Trying(prepared, said.append)
    nothing: Any = None
    trying.trials = [
        Trial(Rung(j.key, (), "ladder"), nothing, nothing, j) for j in (one("a"), one("b", 0.02))
    ]
    trying.known, trying.limit = ("x", "y"), LIMIT
    best = trying.best()
    assert best is trying.trials[1]
    assert best.after == saved["b"]
    assert why_not(trying.trials[0].judged, 0.05) == "1 row still known: y"
    assert said == ["a (defaults), saved and read again: y still known"]
    trying.known = ("x",)
    trying.trials[0].judged = one("a")
    assert trying.best() is trying.trials[0]  # a row that was never known is no reason
