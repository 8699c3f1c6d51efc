"""Faithfulness: against scipy, brute force, planted metrics and simulated kinds."""

import numpy as np
import pytest

from unlearnbench.analysis.derived import membership
from unlearnbench.analysis.meta.faithfulness import (
    Side,
    best_threshold,
    clustered_variance,
    effective_number,
    faithfulness,
    intraclass_correlation,
)


def side(values, kinds=None) -> Side:
    values = np.asarray(values, float)
    return Side(values, tuple(kinds or [str(at) for at in range(len(values))]))


def test_area_is_mann_whitneys_u_over_all_pairs() -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    known, unknown = np.round(rng.normal(0.7, 1, 23), 1), np.round(rng.normal(0, 1, 17), 1)
    pairs = mannwhitneyu(known, unknown).statistic
    assert faithfulness(side(known), side(unknown)).area == pytest.approx(pairs / (23 * 17))


def test_a_perfect_metric_has_one_and_a_random_one_half_within_their_intervals() -> None:
    rng = np.random.default_rng(1)
    kinds = [str(at % 5) for at in range(30)]
    perfect = faithfulness(
        side(rng.uniform(0.6, 1, 30), kinds), side(rng.uniform(0, 0.4, 30), kinds)
    )
    assert perfect.area == perfect.high == 1.0
    assert 0.5 < perfect.low < 1.0
    assert perfect.accuracy == 1.0
    assert 0.4 <= perfect.threshold <= 0.6
    held = 0
    for _ in range(60):
        found = faithfulness(side(rng.normal(size=30), kinds), side(rng.normal(size=30), kinds))
        held += found.low <= 0.5 <= found.high
    assert held >= 53  # 57 expected of 60


def test_a_metric_that_points_the_wrong_way_is_under_half() -> None:
    rng = np.random.default_rng(2)
    found = faithfulness(side(rng.normal(-3, 1, 20)), side(rng.normal(0, 1, 20)))
    assert found.high < 0.5


def test_a_single_model_on_a_side_gives_no_interval() -> None:
    found = faithfulness(side([1.0]), side([0.0, 0.2]))
    assert (found.area, found.low, found.high) == (1.0, None, None)
    with pytest.raises(ValueError):
        faithfulness(side([]), side([0.0]))
    with pytest.raises(ValueError):
        faithfulness(side([np.nan, 1.0]), side([0.0]))


def test_kinds_widen_the_interval() -> None:
    """Thirty models of three kinds say less than thirty models of as many."""
    rng = np.random.default_rng(3)
    shifts = np.repeat([0.0, 1.0, 2.0], 10)
    known, unknown = shifts + 0.5 + rng.normal(0, 0.1, 30), shifts + rng.normal(0, 0.1, 30)
    kinds = list(np.repeat(["a", "b", "c"], 10))
    alone, together = (faithfulness(side(known, k), side(unknown, k)) for k in (None, kinds))
    assert alone.area == together.area
    assert together.high - together.low > 1.8 * (alone.high - alone.low)
    # Kinds that are alike inside as between each other widen nothing to speak of.
    mixed = list(rng.permutation(kinds))
    same = faithfulness(side(known, mixed), side(unknown, mixed))
    assert same.high - same.low < 1.35 * (alone.high - alone.low)


def test_intraclass_correlation_gives_back_the_share_that_was_simulated() -> None:
    rng = np.random.default_rng(4)
    kinds = [str(at // 5) for at in range(2000)]
    for share in (0.0, 0.3, 0.8):
        values = np.repeat(rng.normal(0, np.sqrt(share), 400), 5)
        values += rng.normal(0, np.sqrt(1 - share), 2000)
        assert intraclass_correlation(values, kinds) == pytest.approx(share, abs=0.06)


def test_effective_number_lies_between_kinds_and_models() -> None:
    kinds = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert effective_number(np.repeat([1.0, 2.0, 3.0], 4), kinds) == pytest.approx(3.0)
    assert effective_number(np.tile([1.0, 2.0, 3.0, 4.0], 3), kinds) == pytest.approx(12.0)
    assert effective_number(np.arange(4.0), ["a"] * 4) == 4.0  # one kind: nothing between kinds
    assert effective_number(np.arange(4.0), ["a", "b", "c", "d"]) == 4.0


def test_clustered_variance_is_that_of_the_mean_of_kinds_means() -> None:
    rng = np.random.default_rng(5)
    of_kinds = rng.normal(size=(6, 7))
    kinds = [str(at) for at in range(6) for _ in range(7)]
    want = of_kinds.mean(axis=1).var(ddof=1) / 6
    assert clustered_variance(of_kinds.ravel(), kinds) == pytest.approx(want)
    assert clustered_variance(np.arange(3.0), ["a"] * 3) == 0.0


def test_best_threshold_is_the_best_of_all_cuts() -> None:
    rng = np.random.default_rng(6)
    for _ in range(5):
        known, unknown = np.round(rng.normal(0.5, 1, 9), 1), np.round(rng.normal(0, 1, 11), 1)
        cuts = np.arange(-4, 4, 0.1) + 0.05
        right = [((known > c).mean() + (unknown <= c).mean()) / 2 for c in cuts]
        cut, accuracy = best_threshold(known, unknown)
        assert accuracy == pytest.approx(max(right))
        assert ((known > cut).mean() + (unknown <= cut).mean()) / 2 == pytest.approx(accuracy)


def test_a_wrong_way_metric_has_a_threshold_that_takes_all_for_one_kind() -> None:
    cut, accuracy = best_threshold(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    assert accuracy == 0.5
    assert np.isfinite(cut)


@pytest.mark.slow
@pytest.mark.parametrize("n_kinds", [2, 3, 5, 8])
def test_coverage_over_models_and_kinds(n_kinds: int) -> None:
    """docs/metrics.md quotes these shares; DeLong's interval, which knows no kinds, is beside."""
    from scipy.stats import norm

    rng, n_draws = np.random.default_rng(n_kinds), 1000
    size = 30 // n_kinds
    kinds = [str(at) for at in range(n_kinds) for _ in range(size)]

    def pool(shift: float, share: float) -> Side:
        values = shift + np.repeat(rng.normal(0, np.sqrt(share), n_kinds), size)
        return side(values + rng.normal(0, np.sqrt(1 - share), len(kinds)), kinds)

    held: dict[tuple[float, float], float] = {}
    delong: dict[tuple[float, float], float] = {}
    for share in (0.0, 0.5, 0.9):
        for shift in (0.0, 1.0, 2.5):
            truth, hits, plain = norm.cdf(shift / np.sqrt(2)), 0, 0
            for _ in range(n_draws):
                known, unknown = pool(shift, share), pool(0.0, share)
                found = faithfulness(known, unknown)
                hits += found.low <= truth <= found.high
                variance = membership.delong_variance(-known.knowledge, -unknown.knowledge)
                n = len(kinds)
                low, high = membership.auc_interval(found.area, n, n, variance)
                plain += low <= truth <= high
            held[share, shift], delong[share, shift] = hits / n_draws, plain / n_draws
    print(n_kinds, held, delong)
    least = {2: 0.8, 3: 0.87, 5: 0.91, 8: 0.92}[n_kinds]
    assert min(held.values()) >= least
    assert min(delong.values()) < 0.8
