"""What samples say: against every outcome, definitions and the published vectors."""

import itertools
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats
from statistics_cases import interval
from statistics_cases import outcomes as cell

from unlearnbench.metrics import leak_formulas as formulas

SCORES = (0.9, 0.1, 0.4, 0.2, 0.4, 0.0)
P = (0.0, 0.03, 0.3, 0.5, 0.9, 1.0)


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict:
    return json.loads((shared / "published/vectors.json").read_text())


def test_the_published_vectors(vectors: dict) -> None:
    for name, expected in vectors["leak@k"].items():
        n, c, k = (int(part[1:]) for part in name.split("_"))
        assert formulas.leak_at_k(n, c, k) == pytest.approx(expected, abs=1e-15)
    assert formulas.best_of_k((0.4, 0.1, 0.9, 0.2, 0.3), 3) == pytest.approx(
        vectors["leak_real_k3"], abs=1e-15
    )
    assert formulas.dkw_band(128, 0.01) == pytest.approx(vectors["dkw_eps_n128_a.01"], abs=1e-15)
    assert formulas.dkw_band(1024, 0.01) == pytest.approx(vectors["dkw_eps_n1024_a.01"], abs=1e-15)
    for name, expected in vectors["clopper_pearson_upper"].items():
        c, n, alpha = (part.lstrip("cna") for part in name.split("_"))
        found = formulas.leak_upper(int(n), int(c), float(alpha))
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", range(1, 7))
def test_any_and_best_of_k_are_means_over_every_subset_of_six(k: int) -> None:
    for c in range(7):
        leaks = [1.0] * c + [0.0] * (6 - c)
        subsets = [max(subset) for subset in itertools.combinations(leaks, k)]
        assert formulas.leak_at_k(6, c, k) == pytest.approx(np.mean(subsets), abs=1e-15)
        assert formulas.best_of_k(leaks, k) == pytest.approx(np.mean(subsets), abs=1e-15)
    best = [max(subset) for subset in itertools.combinations(SCORES, k)]
    assert formulas.best_of_k(SCORES, k) == pytest.approx(np.mean(best), abs=1e-15)


@cache
def outcomes(p: float) -> list[tuple[float, int]]:
    """Probability and leaks of all 64 outcomes of six samples."""
    every = itertools.product((0, 1), repeat=6)
    return [(p ** sum(each) * (1 - p) ** (6 - sum(each)), sum(each)) for each in every]


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize("k", range(1, 7))
def test_estimates_are_without_bias_over_every_outcome_of_six(p: float, k: int) -> None:
    estimates = [(weight, formulas.leak_at_k(6, c, k)) for weight, c in outcomes(p)]
    mean = sum(weight * value for weight, value in estimates)
    assert mean == pytest.approx(formulas.any_of_k(p, k), abs=1e-12)
    assert mean == pytest.approx(1 - (1 - p) ** k, abs=1e-12)
    if k > 3:
        with pytest.raises(ValueError, match="2"):
            formulas.leak_variance(6, 1, k)
        return
    variance = sum(weight * (value - mean) ** 2 for weight, value in estimates)
    found = sum(weight * formulas.leak_variance(6, c, k) for weight, c in outcomes(p))
    assert found == pytest.approx(variance, abs=1e-12)
    assert all(formulas.leak_variance(6, c, k) >= 0 for c in range(7))


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.4])
def test_the_bound_on_a_leak_is_wrong_no_more_often_than_it_says(p: float, alpha: float) -> None:
    wrong = sum(weight for weight, c in outcomes(p) if formulas.leak_upper(6, c, alpha) < p)
    assert wrong <= alpha + 1e-12


def test_an_interval_over_items_is_the_tables_own() -> None:
    values = np.random.default_rng(3).random(40)
    expected = interval(cell([values]))
    assert formulas.over_items(values.tolist()) == pytest.approx(tuple(expected))
    assert formulas.over_items(values[:9].tolist()) is None
    assert formulas.over_items([0.3] * 40) is None


def test_items_that_all_leak_or_none_have_one_end() -> None:
    """An end at which so extreme a share of items is as rare as 2.5%."""
    low, high = formulas.over_items([0.0] * 64)
    assert low == 0
    assert (1 - high) ** 64 == pytest.approx(0.025)
    assert formulas.over_items([1.0] * 64) == pytest.approx((1 - high, 1.0))


def test_the_bound_on_a_leak_is_its_definition() -> None:
    for n, c, alpha in ((200, 3, 0.05), (128, 127, 0.01), (6, 0, 0.2)):
        upper = formulas.leak_upper(n, c, alpha)
        assert stats.binom.cdf(c, n, upper) == pytest.approx(alpha, rel=1e-9)
    assert formulas.leak_upper(7, 7, 0.01) == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_the_leaks_of_unequal_items_bound_their_mean(seed: int) -> None:
    """Exactly: the distribution of a sum of unequal trials is their convolution."""
    probabilities = np.random.default_rng(seed).beta(0.2, 2, size=5)
    of_sum = np.ones(1)
    for p in np.repeat(probabilities, 8):
        of_sum = np.convolve(of_sum, [1 - p, p])
    mean = probabilities.mean()
    uppers = np.array([formulas.leak_upper(40, c, 0.05) for c in range(41)])
    assert of_sum[uppers < mean].sum() <= 0.05
    for k in (1, 4, 32):  # and that of leak@k, for 1 - (1-p)^k is concave
        truth = np.mean(1 - (1 - probabilities) ** k)
        at_most = np.array([formulas.any_of_k(upper, k) for upper in uppers])
        assert of_sum[at_most < truth].sum() <= 0.05


@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize("bound", [0.5, 0.1, 0.01, 0.0037])
def test_samples_for_a_bound_are_the_fewest(bound: float, alpha: float) -> None:
    n = formulas.samples_for_bound(bound, alpha)
    assert formulas.leak_upper(n, 0, alpha) <= bound * (1 + 1e-9)
    assert n == 1 or formulas.leak_upper(n - 1, 0, alpha) > bound
    assert formulas.bound_without_leak(n, alpha) == pytest.approx(
        formulas.leak_upper(n, 0, alpha), rel=1e-9
    )


@pytest.mark.parametrize("n", [1, 7, 200, 4096])
def test_samples_for_what_samples_allow_are_those(n: int) -> None:
    assert formulas.samples_for_bound(formulas.bound_without_leak(n, 0.01), 0.01) == n


def test_the_bound_on_the_mean_is_the_area_under_the_band() -> None:
    band = math.sqrt(math.log(20) / 12)
    for x in (-0.1, 0.0, 0.4, 0.41, 0.95):
        above = np.mean([score > x for score in SCORES]) + band
        assert formulas.exceeding_upper(SCORES, x, 0.05) == pytest.approx(min(1.0, above))
    area, _ = integrate.quad(
        lambda x: formulas.exceeding_upper(SCORES, x, 0.05), 0, 1, points=sorted(set(SCORES))
    )
    assert formulas.mean_upper(SCORES, 0.05) == pytest.approx(area, abs=1e-9)
    assert formulas.mean_upper([1.0] * 8, 0.05) == 1.0
    assert formulas.mean_upper([0.0] * 8, 0.05) == pytest.approx(math.sqrt(math.log(20) / 16))


def test_mean_and_two_deviations() -> None:
    expected = np.mean(SCORES) + 2 * np.std(SCORES, ddof=1)
    assert formulas.expectation_and_deviation(SCORES) == pytest.approx(expected, abs=1e-15)
    assert formulas.expectation_and_deviation([0.3]) == 0.3
