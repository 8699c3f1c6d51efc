"""When a single row counts as known."""

import random

import pytest

from unlearnbench.data.row_limit import ALARM, RowState, known, place, quantile, row_limit


def test_without_unseen_rows_the_line_itself_is_the_limit_and_it_says_so() -> None:
    limit = row_limit([], 0.0499, 0.5994)
    assert (limit.el, limit.ma, limit.n_unseen) == (0.0499, 0.5994, 0)
    assert "another model" in limit.how


def test_the_limit_is_the_largest_of_few_rows_and_never_under_the_line() -> None:
    unseen = [RowState(el=0.0, ma=ma / 10, nll=2.0 + ma) for ma in range(8)]
    limit = row_limit(unseen, 0.04, 0.5)
    assert (limit.el, limit.ma, limit.nll) == (0.04, 0.7, 2.0)
    rows = {"a": RowState(el=0.0, ma=0.7), "b": RowState(el=0.0, ma=0.71),
            "c": RowState(el=0.05, ma=0.0), "d": RowState(el=0.0, ma=0.0, nll=2.0),
            "by heart": RowState(el=0.0, ma=0.0, nll=1.99)}  # fmt: skip
    assert known(rows, limit) == ("b", "c", "by heart")


@pytest.mark.parametrize(("n", "words"), [(1, "the 1st"), (12, "the 12th"), (62, "the 62nd")])
def test_the_limit_says_in_words_which_row_it_is(n: int, words: str) -> None:
    unseen = [RowState(el=0.0, ma=at / n, nll=1.0) for at in range(n)]
    assert row_limit(unseen, 0.04, 0.5).how.startswith(f"{words} smallest EL and MA of {n} ")


@pytest.mark.parametrize("n", [59, 64, 200])
def test_rows_that_were_never_seen_are_seldom_called_known(n: int) -> None:
    dice = random.Random(n)
    alarms = 0
    for _ in range(1500):
        values = [dice.gauss(0.4, 0.1) for _ in range(n)]
        alarms += dice.gauss(0.4, 0.1) > quantile(values)
    assert alarms / 1500 == pytest.approx((n + 1 - place(n)) / (n + 1), abs=0.012)
    assert alarms / 1500 < ALARM / 3 + 0.012
