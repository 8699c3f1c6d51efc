"""Expected best of k, its interval, crossings and fronts, against enumeration and simulation."""

import json
import random
from itertools import combinations, product
from statistics import fmean

import numpy as np
import pytest

from unlearnbench.analysis.budgets.expected import (
    Lead,
    curve,
    expected_best,
    interval,
    leads,
    weights,
)
from unlearnbench.analysis.budgets.fronts import hypervolume, pareto_front
from unlearnbench.metrics.leak_formulas import best_of_k

# FIELD.md, "tuning-budget flip": k -> expected best of NPO, of AltPO.
PUBLISHED = {1: (0.470, 0.246), 5: (0.718, 0.683), 9: (0.731, 0.761), 18: (0.739, 0.773)}


@pytest.fixture(scope="module")
def zoo(shared) -> dict[str, list[float]]:
    """The overall scores of 152 published models, by method."""
    path = shared / "data" / "unlearning_depth_score" / "method_results.json"
    if not path.is_file():
        pytest.skip("the table of the unlearning depth score is not there")
    scores: dict[str, list[float]] = {}
    for model in json.loads(path.read_text())["models"]:
        scores.setdefault(model["method"], []).append(model["overall"])
    return scores


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("scores", [[0.3], [0.2, 0.9, 0.2, 0.5], [3.0, -1.0, 2.0, 2.0, 7.5, 0.0]])
def test_the_expected_best_is_the_mean_over_all_subsets(scores, higher):
    best = max if higher else min
    for k in range(1, len(scores) + 1):
        by_hand = fmean(best(subset) for subset in combinations(scores, k))
        assert expected_best(scores, k, higher) == pytest.approx(by_hand, abs=1e-14)
    assert curve(scores, higher)[-1] == best(scores)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (57, 13), (1000, 1), (1000, 700), (1000, 1000)])
def test_the_weights_are_those_of_exact_binomials(n, k):
    draw = random.Random(n + k)
    scores = [draw.random() for _ in range(n)]
    assert expected_best(scores, k) == pytest.approx(best_of_k(scores, k), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5000, 9999, 10_000])
def test_ten_thousand_trials_lose_no_digits(k):
    of_rank = weights(10_000, k)
    assert of_rank.sum() == pytest.approx(1, rel=1e-10)
    # The mean rank of the best of k without replacement: k (n + 1) / (k + 1).
    ranks = np.arange(1, 10_001)
    assert float(of_rank @ ranks) == pytest.approx(k * 10_001 / (k + 1), rel=1e-10)


@pytest.mark.parametrize("k", [0, 4])
def test_no_best_of_more_than_there_are(k):
    with pytest.raises(ValueError, match=f"the best of {k} of 3"):
        expected_best([1.0, 2.0, 3.0], k)


@pytest.mark.parametrize("k", PUBLISHED)
def test_the_published_zoo_gives_the_published_values(zoo, k):
    values = tuple(round(expected_best(zoo[name], k), 3) for name in ("npo", "altpo"))
    assert values == PUBLISHED[k]


def test_the_published_winner_needs_seven_tries(zoo):
    """NPO is ahead of AltPO with up to six configurations, and behind from seven on."""
    assert leads(curve(zoo["npo"]), curve(zoo["altpo"])) == [Lead(1, True), Lead(7, False)]


def test_leads_say_every_change_and_no_tie():
    assert leads([1, 2, 3, 4], [0, 2, 4]) == [Lead(1, True), Lead(3, False)]
    assert leads([1, 2, 3], [0, 2, 4], higher_is_better=False) == [Lead(1, False), Lead(3, True)]
    assert leads([1, 1], [1, 1]) == []
    assert leads([1, 0, 1], [0, 1, 0]) == [Lead(1, True), Lead(2, False), Lead(3, True)]


def test_an_interval_holds_its_value_and_is_that_of_losses_turned_round():
    scores = [0.0, 0.0, 0.3, 0.45, 0.5, 0.62, 0.7, 0.71]
    for k in (1, 3, 8):
        low, high = interval(scores, k)
        assert 0 < low < expected_best(scores, k) < high < 1
        turned = interval([1 - score for score in scores], k, higher_is_better=False)
        assert turned == pytest.approx((1 - high, 1 - low))
    assert interval(scores[:4], 1) is None
    assert interval([*scores, 1.2], 1) is None
    low, high = interval([*scores, 1.2], 1, bounds=(0, 2))
    assert low < expected_best([*scores, 1.2], 1) < high


def test_the_least_and_the_largest_expected_best_are_by_steps_of_the_distribution():
    """With so many trials that F is known, both ends are the expected best itself."""
    scores = (np.arange(1500) + 0.5) / 1500
    low, high = interval(scores, 3)
    assert low == pytest.approx(3 / 4, abs=0.03)
    assert high == pytest.approx(3 / 4, abs=0.03)


def test_the_front_and_its_area_are_those_of_a_fine_grid():
    draw = random.Random(7)
    points = [(draw.randrange(20), draw.randrange(20)) for _ in range(12)]
    for higher in product((True, False), repeat=2):
        reference = tuple(0 if up else 19 for up in higher)

        def beats(a, b, higher=higher):
            return all((x >= y) if up else (x <= y) for x, y, up in zip(a, b, higher, strict=True))

        # Unit squares by their centre that some point is better than.
        centres = [(x + 0.5, y + 0.5) for x in range(19) for y in range(19)]
        covered = sum(any(beats(p, c) for p in points) for c in centres)
        assert hypervolume(points, reference, higher) == covered
        on_front = [p for p, on in zip(points, pareto_front(points, higher), strict=True) if on]
        assert hypervolume(on_front, reference, higher) == covered
        for point in set(points) - set(on_front):
            assert any(beats(p, point) for p in on_front)


def test_the_area_is_bounded_by_the_reference_point():
    assert hypervolume([], (0, 0), (True, True)) == 0
    assert hypervolume([(1, 0), (-1, 5)], (0, 0), (True, True)) == 0
    assert hypervolume([(0.2, 0.9), (0.2, 0.9)], (1, 0), (False, True)) == pytest.approx(0.72)
