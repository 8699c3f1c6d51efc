"""The smallest differences that can be shown, against exact computation and simulation."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, mannwhitneyu, multinomial, nct, norm, t, ttest_ind
from statistics_cases import outcomes

from unlearnbench.analysis.derived import ks, membership
from unlearnbench.analysis.statistics import power
from unlearnbench.analysis.statistics.outcomes import matched
from unlearnbench.analysis.statistics.paired import p_values


@pytest.mark.parametrize(("n", "n_pairs"), [(10, 1), (10, 6), (64, 15), (1900, 1)])
def test_a_mean_difference_is_that_of_students_noncentral_distribution(n, n_pairs):
    mean = power.mean_difference(n, sd=2.0, n_pairs=n_pairs)
    critical = t.ppf(1 - 0.025 / n_pairs, n - 1)
    of = nct(n - 1, mean / 2.0 * math.sqrt(n))
    assert of.sf(critical) + of.cdf(-critical) == pytest.approx(0.8, abs=1e-3)


def test_textbook_sample_sizes_come_out():
    """Cohen 1988, as G*Power prints them: d = 0.5 and 0.8, paired and of two groups."""
    assert power.documents_needed(0.5, 1.0) == 34
    assert power.documents_needed(-0.8, 1.0) == 15
    for n, d in ((64, 0.5), (26, 0.8)):
        assert power.seeds_difference(n) <= d < power.seeds_difference(n - 1)


def test_large_samples_follow_the_normal_formula():
    z = norm.ppf(0.975) + norm.ppf(0.8)
    assert power.mean_difference(10_000, sd=3.0) == pytest.approx(3 * z / 100)
    # Miettinen 1968, for the discordant documents of two shares.
    d, n = 0.2, 20_000
    difference = power.share_difference(n, d)
    expected = (norm.ppf(0.975) * d**0.5 + norm.ppf(0.8) * (d - difference**2) ** 0.5) / n**0.5
    assert difference == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("difference", [0.0, 0.25, 0.5])
def test_the_power_of_shares_is_that_of_every_outcome_counted(difference):
    n, d = 12, 0.5
    counted = 0.0
    better, worse = (d + difference) / 2, (d - difference) / 2
    for a in range(n + 1):
        for b in range(n + 1 - a):
            if a + b and binomtest(a, a + b).pvalue <= 0.05:
                counted += multinomial.pmf([a, b, n - a - b], n, [better, worse, 1 - d])
    assert power.share_power(n, difference, d) == pytest.approx(counted)


def test_what_no_difference_can_show_is_nan():
    assert math.isnan(power.mean_difference(5))  # its sign-flip test's least p is 1/16
    assert not math.isnan(power.mean_difference(6))
    assert math.isnan(power.mean_difference(6, n_pairs=2))
    assert math.isnan(power.share_difference(20))  # 4 discordant documents of 20
    assert math.isnan(power.seeds_difference(1))
    assert math.isnan(power.ks_distance(3, 3))
    assert math.isnan(power.auc_change(3, 3))
    assert math.isnan(power.auc_from_chance(2, 2))
    assert power.documents_needed(0.0, 1.0) is None
    assert power.seeds_needed(1e-9, 1.0) is None


def test_numbers_needed_are_the_least_that_show_the_difference():
    for difference in (0.07, 0.4, 3.0):
        n = power.documents_needed(difference, 1.0, n_pairs=3)
        assert power.mean_difference(n, n_pairs=3) <= difference
        assert not power.mean_difference(n - 1, n_pairs=3) <= difference
        k = power.seeds_needed(difference, 1.0)
        assert power.seeds_difference(k, paired=True) <= difference
        assert not power.seeds_difference(k - 1, paired=True) <= difference


def test_more_documents_less_spread_and_fewer_pairs_show_smaller_differences():
    sizes = (16, 64, 256, 1024)
    for smallest in (
        power.mean_difference,
        power.share_difference,
        lambda n: power.ks_distance(n, n),
        lambda n: power.ks_distance_at_worst(n, n),
        lambda n: power.auc_change(n, n),
        lambda n: power.tpr_above(n, 0.01),
    ):
        values = [smallest(n) for n in sizes if not math.isnan(smallest(n))]
        assert len(values) >= 3
        assert values == sorted(values, reverse=True)
    assert power.mean_difference(64, n_pairs=6) > power.mean_difference(64)
    assert power.ks_distance_at_worst(64, 64) > power.ks_distance(64, 64)
    assert power.auc_change(64, 64, correlation=0.9) < power.auc_change(64, 64, correlation=0.0)


def test_sets_of_an_average_count_as_the_documents_that_tell_as_much():
    rng = np.random.default_rng(5)
    sizes = (20, 80, 200)
    assert power.effective_documents([20] * 9) == pytest.approx(180)
    means = [np.mean([rng.normal(size=n).mean() for n in sizes]) for _ in range(4000)]
    assert 1 / np.var(means) == pytest.approx(power.effective_documents(sizes), rel=0.08)


def test_critical_distances_are_the_exact_tests_or_its_limit():
    assert power.ks_critical(64, 64) == 0.25 == ks.smallest_detectable(64)
    limit = power.ks_critical(3000, 3000)
    assert limit == pytest.approx(1.358 * math.sqrt(2 / 3000), rel=1e-3)
    assert power.ks_critical(200, 201) == pytest.approx(power.ks_critical(200, 200), rel=0.05)


def test_the_error_of_an_auc_is_that_of_the_rank_test_where_nothing_differs():
    n, m = 64, 64
    error = math.sqrt((n + m + 1) / (12 * n * m))
    assert math.sqrt(membership.area_variance(0.5, n, m)) == pytest.approx(error)
    assert error == pytest.approx(0.051, abs=5e-4)  # FIELD: PrivLeak of 64 + 64 texts
    least = (norm.ppf(0.975) + norm.ppf(0.8)) * error
    assert power.auc_from_chance(n, m) == pytest.approx(least, rel=0.06)


def test_a_tpr_that_is_shown_is_beyond_what_the_fpr_gives():
    n = 200
    least = next(k for k in range(n) if binom.sf(k - 1, n, 0.01) <= 0.05)
    assert binom.sf(least - 1, n, power.tpr_above(n, 0.01)) == pytest.approx(0.8, abs=1e-4)


# ---- the power achieved: docs/statistics.md quotes these figures

N_SIMULATED = 1000


def share_found(p_of_samples):
    return float(np.mean(np.asarray(p_of_samples) < 0.05))


def paired_p(differences):
    """p-values of samples [K, n] by the harness's own test."""
    return p_values([matched(outcomes([each]), outcomes([0 * each])) for each in differences])


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 12, 20, 64, 400])
def test_achieved_power_of_means(n):
    rng = np.random.default_rng(n)
    skewed = rng.exponential(size=(N_SIMULATED, n)) - 1
    noises = {
        "normal": (rng.normal(size=(N_SIMULATED, n)), (0.75, 0.85)),
        "uniform": (rng.uniform(-(3**0.5), 3**0.5, (N_SIMULATED, n)), (0.7, 0.85)),
        "exponential, its long tail on the better side": (skewed, (0.75, 1.0)),
        "exponential, its long tail on the worse side": (-skewed, (0.6, 0.85)),
    }
    for kind, (noise, (low, high)) in noises.items():
        achieved = share_found(paired_p(noise + power.mean_difference(n)))
        print(f"means, {n} documents, {kind}: {achieved:.1%}")
        assert low <= achieved <= high


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 64, 192, 400])
@pytest.mark.parametrize("discordant", [0.2, 0.4])
def test_achieved_power_of_shares(n, discordant):
    rng = np.random.default_rng(n)
    difference = power.share_difference(n, discordant)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    drawn = rng.choice([1.0, -1.0, 0.0], p=shares, size=(N_SIMULATED, n))
    achieved = share_found(paired_p(drawn))
    print(f"shares, {n} documents, {discordant:.0%} discordant: {achieved:.1%}")
    assert 0.76 <= achieved <= 0.84


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(20, 20), (64, 64), (200, 200), (400, 400), (100, 400)])
def test_achieved_power_of_the_distance(n, m):
    rng = np.random.default_rng([n, m])
    kinds = {"a shift": (power.ks_distance(n, m), (0.74, 0.88)),
             "at worst": (power.ks_distance_at_worst(n, m), (0.8, 1.0))}  # fmt: skip
    for kind, (distance, (low, high)) in kinds.items():
        shift = 2 * norm.ppf((1 + distance) / 2)
        p = [ks.ks_test(rng.normal(size=n), rng.normal(shift, size=m)).p for _ in range(600)]
        print(f"KS, {n} and {m}, {kind}, D = {distance:.3f}: {share_found(p):.1%}")
        assert low <= share_found(p) <= high


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(20, 20), (64, 64), (200, 400)])
def test_achieved_power_of_an_auc(n, m):
    rng = np.random.default_rng([n, m, 1])
    shift = math.sqrt(2) * norm.ppf(0.5 + power.auc_from_chance(n, m))
    p = [mannwhitneyu(rng.normal(size=n), rng.normal(shift, size=m)).pvalue
         for _ in range(N_SIMULATED)]  # fmt: skip
    print(f"AUC, {n} and {m}: {share_found(p):.1%}")
    assert 0.75 <= share_found(p) <= 0.86


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_achieved_power_of_seeds(n):
    rng = np.random.default_rng(n)
    difference = power.seeds_difference(n)
    first = rng.normal(size=(20_000, n)) + difference
    p = ttest_ind(first, rng.normal(size=(20_000, n)), axis=1).pvalue
    print(f"seeds, {n} each: {share_found(p):.1%}")
    assert 0.79 <= share_found(p) <= 0.81
