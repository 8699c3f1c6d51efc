"""The rule that takes one of the models that were tried."""

from unlearnbench.forgetting.choice import Judged, choose, named, why_not


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
