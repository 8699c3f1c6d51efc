"""Confidence bounds against scipy's, and by simulation."""

import random

import pytest
from scipy import stats

from unlearnbench.unlearning.stop_line import normal_upper_bound, wilson_upper_bound


@pytest.mark.parametrize(("hits", "n"), [(0, 128), (3, 128), (64, 128), (10, 10), (0, 1)])
def test_wilson_equals_scipy_for_counts(hits: int, n: int) -> None:
    interval = stats.binomtest(hits, n, alternative="less").proportion_ci(0.95, method="wilson")
    values = [1.0] * hits + [0.0] * (n - hits)
    assert wilson_upper_bound(values) == pytest.approx(interval.high, abs=1e-12)


def test_normal_bound_covers_the_true_mean_as_often_as_it_says() -> None:
    draw = random.Random(1)
    covered = sum(
        normal_upper_bound([draw.betavariate(8, 12) for _ in range(128)]) >= 0.4
        for _ in range(2000)
    )
    assert 0.93 < covered / 2000 < 0.97


def test_no_event_seen_still_allows_some() -> None:
    assert normal_upper_bound([0.0] * 128) == 0.0
    assert 0.015 < wilson_upper_bound([0.0] * 128) < 0.025
    assert wilson_upper_bound([0.0] * 1280) < 0.0025
