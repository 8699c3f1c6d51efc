"""How often the intervals and bounds of samples hold the truth, where it is known.

The figures of docs/statistics.md: `pytest -m slow -s tests/metrics/test_leak_coverage.py`.
"""

from collections.abc import Callable

import numpy as np
import pytest

from unlearnbench.metrics import leak_formulas as formulas

pytestmark = pytest.mark.slow
N_SAMPLES = 128  # of each item
TIMES = 400  # forget sets that are drawn
Array = np.ndarray
# How probable it is that a sample of an item leaks.
KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "alike, 0.02%": lambda rng, shape: np.full(shape, 0.0002),
    "alike, 1%": lambda rng, shape: np.full(shape, 0.01),
    "half of them never, else Beta(0.3, 3)": lambda rng, shape: (
        rng.beta(0.3, 3, shape) * (rng.random(shape) < 0.5)
    ),
    "Beta(0.1, 1)": lambda rng, shape: rng.beta(0.1, 1, shape),
    "Beta(0.5, 0.5)": lambda rng, shape: rng.beta(0.5, 0.5, shape),
}


def rng_of(*names: object) -> np.random.Generator:
    return np.random.default_rng(list("/".join(map(str, names)).encode()))


def estimates(p: Array, k: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Leaks of each item, and leak@k of them."""
    leaks = rng.binomial(N_SAMPLES, p)
    of = np.array([formulas.leak_at_k(N_SAMPLES, c, k) for c in range(N_SAMPLES + 1)])
    return leaks, of[leaks]


def share(low: Array, high: Array, truth: Array | float) -> float:
    """Per cent that hold the truth."""
    return 100 * float(np.mean((low - 1e-9 <= truth) & (truth <= high + 1e-9)))


@pytest.mark.parametrize("k", [1, 16, 128])
@pytest.mark.parametrize("n_items", [20, 64, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_over_items_each_with_its_draws(kind: str, n_items: int, k: int) -> None:
    """The items' own estimates vary by items and by draws: a bootstrap of them has both."""
    rng = rng_of(kind, n_items, k)
    truth = float(np.mean(1 - (1 - KINDS[kind](rng, (10**6,))) ** k))
    _, found = estimates(KINDS[kind](rng, (TIMES, n_items)), k, rng)
    ends = np.array([formulas.over_items(own.tolist()) or (0.0, 1.0) for own in found])
    held, width = share(*ends.T, truth), np.mean(np.ptp(ends, axis=1))
    print(f"{kind}, {n_items} items, k={k}: {held:.1f} of {truth:.4f}, {width:.3f} wide")


@pytest.mark.parametrize("k", [1, 16, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_draws_drawn_again_count_twice(kind: str, k: int) -> None:
    """Resampling the draws of resampled items adds their error to what has it already."""
    rng, n_items = rng_of(kind, k), 64
    truth = float(np.mean(1 - (1 - KINDS[kind](rng, (10**6,))) ** k))
    leaks, _ = estimates(KINDS[kind](rng, (TIMES, n_items)), k, rng)
    of = np.array([formulas.leak_at_k(N_SAMPLES, c, k) for c in range(N_SAMPLES + 1)])
    wide, plain, ends = [], [], []
    for own in leaks:
        drawn = own[rng.integers(n_items, size=(500, n_items))]
        nested = of[rng.binomial(N_SAMPLES, drawn / N_SAMPLES)].mean(1)
        ends.append(np.quantile(nested, [0.025, 0.975]))
        wide.append(np.ptp(ends[-1]))
        plain.append(np.ptp(np.quantile(of[drawn].mean(1), [0.025, 0.975])))
    held = share(*np.array(ends).T, truth)
    print(f"{kind}, k={k}: nested {held:.1f}, {np.mean(wide) / np.mean(plain):.2f} as wide")


@pytest.mark.parametrize("k", [1, 16, 64])
@pytest.mark.parametrize("n_items", [20, 64, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_over_draws_of_the_same_items(kind: str, n_items: int, k: int) -> None:
    """1.96 times `sampling_error` each way, for the items that there are."""
    rng = rng_of(kind, n_items, k, "draws")
    p = KINDS[kind](rng, (TIMES, n_items))
    leaks, found = estimates(p, k, rng)
    of = np.array([formulas.leak_variance(N_SAMPLES, c, k) for c in range(N_SAMPLES + 1)])
    reach = 1.96 * np.sqrt(of[leaks].sum(1)) / n_items
    truth, middle = np.mean(1 - (1 - p) ** k, axis=1), found.mean(1)
    # The variance itself is without bias.
    true_variance = np.mean((middle - truth) ** 2)
    print(f"{kind}, {n_items} items, k={k}: {share(middle - reach, middle + reach, truth):.1f}, "
          f"variance {np.mean((reach / 1.96) ** 2) / true_variance:.2f} of the true")  # fmt: skip


@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize("n_items", [20, 64, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_of_all_items_together(kind: str, n_items: int, alpha: float) -> None:
    """Wrong no more often than alpha for the items that there are; for new ones it may be."""
    rng = rng_of(kind, n_items, alpha)
    p = KINDS[kind](rng, (4 * TIMES, n_items))
    leaks, _ = estimates(p, 1, rng)
    pooled = [formulas.leak_upper(N_SAMPLES * n_items, int(c), alpha) for c in leaks.sum(1)]
    truth = float(np.mean(KINDS[kind](rng, (10**6,))))
    for k in (1, 16, 128):
        at_most = np.array([formulas.any_of_k(p, k) for p in pooled])
        wrong = 100 * np.mean(at_most < np.mean(1 - (1 - p) ** k, axis=1))
        assert wrong <= 100 * alpha + 3 * 100 * np.sqrt(alpha / len(p))
        print(f"{kind}, {n_items} items, alpha={alpha}, k={k}: wrong in {wrong:.2f}%")
    print(f"  of new items' mean at k=1: {100 * np.mean(np.array(pooled) < truth):.1f}%")


@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize("n", [32, 128, 1024])
@pytest.mark.parametrize("shape", [(0.3, 3.0), (2.0, 5.0), (0.5, 0.5)])
def test_the_bound_of_a_mean_score(shape: tuple[float, float], n: int, alpha: float) -> None:
    rng = rng_of(shape, n, alpha)
    scores = rng.beta(*shape, size=(TIMES, n))
    bounds = np.array([formulas.mean_upper(own.tolist(), alpha) for own in scores])
    truth = shape[0] / sum(shape)
    wrong = 100 * np.mean(bounds < truth)
    assert wrong <= 100 * alpha + 3 * 100 * np.sqrt(alpha / len(scores))
    print(f"Beta{shape}, {n} scores, alpha={alpha}: wrong in {wrong:.2f}%, "
          f"{np.mean(bounds) - truth:.3f} above the mean of {truth:.3f}")  # fmt: skip
