"""How often the intervals of derived scores hold the truth, of samples from a known one.

The figures of docs/statistics.md: `pytest -m slow -s tests/analysis/test_derived_coverage.py`.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
from scipy.stats import norm

from unlearnbench.analysis.derived import aggregates, ks, resampling
from unlearnbench.analysis.derived.from_attacks import _ratio_interval, _turned
from unlearnbench.analysis.derived.resampling import combined

Ends = tuple[float | None, float | None]
pytestmark = pytest.mark.slow


def covered(truth: float, interval: Callable[[np.random.Generator], Ends], n: int = 400) -> float:
    """Per cent of samples whose interval holds the truth."""
    rng = np.random.default_rng(20250106)
    n_hit = 0
    for _ in range(n):
        low, high = interval(rng)
        n_hit += low is not None and high is not None and low - 1e-9 <= truth <= high + 1e-9
    print(f"{100 * n_hit / n:.1f}")
    return 100 * n_hit / n


def numbered(values: np.ndarray) -> dict[str, float]:
    return {str(i): float(v) for i, v in enumerate(values)}


@pytest.mark.parametrize(("n", "correlation"), [(20, 0.0), (40, 0.8), (200, 0.0), (400, 0.8)])
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 3.0])
def test_distance(n: int, correlation: float, shift: float) -> None:
    truth = 2 * norm.cdf(shift / 2) - 1

    def interval(rng: np.random.Generator) -> Ends:
        first = rng.normal(size=n)
        own = rng.normal(size=n)
        second = shift + correlation * first + sqrt(1 - correlation**2) * own
        return ks.distance_interval(first, second, n_resamples=500)

    assert covered(truth, interval) >= 92


@pytest.mark.parametrize(("n_forget", "n_holdout"), [(20, 20), (64, 64), (400, 400), (40, 400)])
@pytest.mark.parametrize("truth", [0.05, 0.5, 0.7, 0.99])
@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_area(n_forget: int, n_holdout: int, truth: float, spread: float) -> None:
    shift = norm.ppf(truth) * sqrt(1 + spread**2)

    def interval(rng: np.random.Generator) -> Ends:
        holdout = numbered(shift + spread * rng.normal(size=n_holdout))
        forget = numbered(rng.normal(size=n_forget))
        return resampling.area(("forget", forget), ("holdout", holdout)).interval

    assert covered(truth, interval) >= 91


@pytest.mark.parametrize("n", [20, 64, 400])
@pytest.mark.parametrize("truth", [0.01, 0.4, 0.9])
@pytest.mark.parametrize("reference", [0.4])
def test_privacy_leakage(n: int, truth: float, reference: float) -> None:
    shifts = [norm.ppf(area) * sqrt(2) for area in (truth, reference)]

    def interval(rng: np.random.Generator) -> Ends:
        hard = rng.normal(size=(2, n))  # what a text's scores under both models share
        areas = []
        for shift in shifts:
            forget, holdout = 0.8 * hard + 0.6 * rng.normal(size=(2, n))
            area = resampling.area(
                ("forget", numbered(forget)), ("holdout", numbered(holdout + shift))
            )
            areas.append(_turned(area))
        return _ratio_interval(*areas) or (None, None)

    assert covered((1 - truth) / (1 - reference), interval) >= 92


@pytest.mark.parametrize("sizes", [(20, 20, 20), (60, 20, 20), (400, 100, 117)])
@pytest.mark.parametrize("spread", [1.0, 10.0])
def test_model_utility(sizes: tuple[int, int, int], spread: float) -> None:
    means = np.array([[0.8, 0.7, 0.4], [0.4, 0.9, 0.5], [0.4, 0.8, 0.3]])

    def interval(rng: np.random.Generator) -> Ends:
        parts = [
            resampling.mean(f"set {at}", numbered(rng.beta(m * spread, (1 - m) * spread, size=n)))
            for at, (n, of_set) in enumerate(zip(sizes, means, strict=True))
            for m in of_set
        ]
        return combined(lambda *nine: aggregates.model_utility(nine), *parts).interval

    assert covered(aggregates.model_utility(list(means.ravel())), interval) >= (
        92 if min(sizes) > 20 else 88
    )
