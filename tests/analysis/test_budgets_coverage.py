"""How often the interval of the expected best of k holds the truth, of trials from a known one.

The figures of docs/statistics.md: `pytest -m slow -s tests/analysis/test_budgets_coverage.py`.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from unlearnbench.analysis.budgets.expected import expected_best, interval

Floats = NDArray[np.float64]
pytestmark = pytest.mark.slow
N_SAMPLES = 400
# Scores of a configuration drawn at random: evenly spread, mostly low, half or four of five of them
# useless, near a ceiling that is not 1, and of two kinds.
SCORES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "low": lambda rng, shape: rng.beta(2, 5, shape),
    "half are 0": lambda rng, s: np.where(rng.random(s) < 0.5, 0, rng.random(s)),
    "four of five are 0": lambda rng, s: np.where(rng.random(s) < 0.8, 0, rng.random(s)),
    "near a ceiling of 0.8": lambda rng, shape: 0.8 * (1 - rng.random(shape) ** 3),
    "two kinds": lambda rng, s: np.where(
        rng.random(s) < 0.4, rng.beta(2, 20, s), rng.beta(30, 10, s)
    ),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("n", [6, 12, 24, 48])
def test_the_interval_holds_the_truth(n, name):
    draw, rng = SCORES[name], np.random.default_rng(20_260_102)
    sizes = [k for k in (1, 3, 9, 18) if k < n] + [n]
    truths = [float(draw(rng, (100_000, k)).max(axis=1).mean()) for k in sizes]
    hits, widths, values = np.zeros(len(sizes)), np.zeros(len(sizes)), np.zeros(len(sizes))
    for _ in range(N_SAMPLES):
        trials = draw(rng, (n,)).tolist()
        for at, (k, truth) in enumerate(zip(sizes, truths, strict=True)):
            low, high = interval(trials, k)
            hits[at] += low - 1e-9 <= truth <= high + 1e-9
            widths[at] += high - low
            values[at] += expected_best(trials, k)
    shares = 100 * hits / N_SAMPLES
    print(f"\n{n} trials, {name}:", *(
        f"k={k} {share:.1f}% (width {width / N_SAMPLES:.2f})"
        for k, share, width in zip(sizes, shares, widths, strict=True)
    ))  # fmt: skip
    assert shares.min() >= 94
    # Without bias: within four standard errors of the mean over samples.
    assert values / N_SAMPLES == pytest.approx(truths, abs=0.06)
