"""How often the intervals under attack hold the truth, of samples from a known one.

The figures of docs/statistics.md: `pytest -m slow -s tests/analysis/test_recovery_coverage.py`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.stats import beta, norm

from unlearnbench.analysis.attacks.recovery import Claim, Estimate, Stratum
from unlearnbench.analysis.attacks.resampling import intervals, worst_case

pytestmark = pytest.mark.slow
Rng = np.random.Generator
ORIGINAL, RETRAINED = 0.98, 0.58  # MA of the nano world's


def covered(truth: float, interval: Callable[[Rng], Estimate], n: int = 400) -> float:
    """Per cent of the samples with an interval whose interval holds the truth."""
    rng = np.random.default_rng(20250108)
    hits, misses, none, widths = 0, [0, 0], 0, []
    for _ in range(n):
        _, low, high = interval(rng)
        if low is None or high is None:
            none += 1
            continue
        hits += low <= truth <= high
        misses[0] += truth < low
        misses[1] += truth > high
        widths.append(high - low)
    print(f"{100 * hits / (n - none):.1f}; under, over {misses}; none {none}; "
          f"width {np.median(widths):.3f}")  # fmt: skip
    return 100 * hits / (n - none)


def shares(
    rng: Rng, mean: float, size: float, n: int, common: np.ndarray, load: float
) -> np.ndarray:
    """Shares of a mean, as MA's of rows, which go with what the models have in common."""
    z = load * common + np.sqrt(1 - load**2) * rng.normal(size=n)
    return beta.ppf(norm.cdf(z), mean * size, (1 - mean) * size)


def like_ma(rng: Rng, n: int, mean: float) -> tuple[np.ndarray, ...]:
    hard = rng.normal(size=n)
    return (
        shares(rng, mean, 12, n, hard, 0.5),
        shares(rng, ORIGINAL, 30, n, hard, 0.3),
        shares(rng, RETRAINED, 20, n, hard, 0.6),
    )


def like_el(rng: Rng, n: int) -> tuple[np.ndarray, ...]:
    """Four of five rows are 0 after unlearning, nineteen of twenty after retraining."""
    zero = [rng.random(n) < share for share in (0.8, 0.95)]
    hard = rng.normal(size=n)
    return (
        np.where(zero[0], 0, rng.exponential(0.3, n)),
        shares(rng, 0.9, 5, n, hard, 0.3),
        np.where(zero[1], 0, rng.exponential(0.1, n)),
    )


def right_or_wrong(rng: Rng, n: int) -> tuple[np.ndarray, ...]:
    return tuple((rng.random(n) < p).astype(float) for p in (0.3, 0.9, 0.1))


def stratum(
    name: str,
    values: Sequence[np.ndarray],
    unattacked: np.ndarray | None = None,
    items: Sequence[int] | None = None,
) -> Stratum:
    unlearned = np.atleast_2d(values[0])
    n = unlearned.shape[1]
    names = tuple(f"{i:04d}" for i in (items if items is not None else range(n)))
    others = dict(zip(("original", "retrained"), values[1:], strict=False))
    seeds = tuple(range(len(unlearned)))
    return Stratum(name, names, unlearned, **others, unattacked=unattacked, seeds=seeds)


@pytest.mark.parametrize("n", [10, 16, 40, 64, 128])
@pytest.mark.parametrize("kind", ["MA", "MA as retrained", "EL", "right or wrong"])
def test_recovery_over_items(kind: str, n: int) -> None:
    mean = 0.58 if kind == "MA as retrained" else 0.74
    make = {
        "EL": (lambda rng: like_el(rng, n), 0.055 / 0.895),
        "right or wrong": (lambda rng: right_or_wrong(rng, n), 0.25),
    }.get(kind, (lambda rng: like_ma(rng, n, mean), (mean - RETRAINED) / (ORIGINAL - RETRAINED)))

    def interval(rng: Rng) -> Estimate:
        claim = Claim((stratum("0", make[0](rng)),))
        if not claim.is_told_apart:
            return Estimate(0.0)
        return intervals([claim], "recovery")[0]

    print(kind, n, end=": ")
    assert covered(make[1], interval) >= (75 if kind == "EL" and n < 64 else 91)


@pytest.mark.parametrize("n", [16, 64])
@pytest.mark.parametrize("n_sets", [1, 3])
@pytest.mark.parametrize("spread", [0.0, 0.05])
@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_recovery_over_items_and_seeds(n: int, n_sets: int, spread: float, n_seeds: int) -> None:
    truth = (0.74 - RETRAINED) / (ORIGINAL - RETRAINED)

    def interval(rng: Rng) -> Estimate:
        return intervals([seeded(rng, n, n_sets, spread, n_seeds)], "recovery")[0]

    print(f"{n_sets} x {n}, spread of {n_seeds} seeds {spread}", end=": ")
    assert covered(truth, interval) >= 92


def seeded(rng: Rng, n: int, n_sets: int, spread: float, n_seeds: int) -> Claim:
    """A claim whose unlearned models differ by a normal deviation of that spread, and by item."""
    strata = []
    for at in range(n_sets):
        unlearned, original, retrained = like_ma(rng, n, 0.74)
        of_seed = spread * rng.normal(size=(n_seeds, 1))
        rows = unlearned + of_seed + 0.05 * rng.normal(size=(n_seeds, n))
        strata.append(stratum(str(at), (rows, original, retrained)))
    return Claim(tuple(strata))


@pytest.mark.parametrize("n", [10, 16, 40, 64])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_raw_change(n: int, n_seeds: int) -> None:
    def interval(rng: Rng) -> Estimate:
        hard = rng.normal(size=n)
        before = shares(rng, 0.6, 15, n, hard, 0.7)
        after = shares(rng, 0.74, 12, n, hard, 0.7)
        of_seed = (0.05 if n_seeds > 1 else 0.0) * rng.normal(size=(n_seeds, 1))
        rows, base = (v + 0.03 * rng.normal(size=(n_seeds, n)) for v in (after + of_seed, before))
        given = stratum("0", (rows,), base)
        return intervals([Claim((given,))], "change")[0]

    print(f"{n}, {n_seeds} seeds", end=": ")
    assert covered(0.14, interval) >= 92


@pytest.mark.parametrize("n", [16, 64])
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_worst_case(n: int, alike: bool, n_seeds: int) -> None:
    """Four attacks of five points; of the last only half of the items were scored."""
    means = [0.74 if alike else 0.58 + 0.01 * (1 + j) for j in range(20)]
    truth = (max(means) - RETRAINED) / (ORIGINAL - RETRAINED)
    alone = []

    def interval(rng: Rng) -> Estimate:
        claims = panel(rng, n, means, n_seeds)
        largest = max(claims, key=lambda claim: claim.value)
        _, low, high = intervals([largest], "recovery")[0]
        alone.append(low is not None and low <= truth <= high)
        return worst_case(claims)

    print(f"{n}, {'alike' if alike else 'rising'}, {n_seeds} seeds", end=": ")
    assert covered(truth, interval, n=200) >= 92
    print(f"  the largest one's own interval: {100 * np.mean(alone):.1f}")


def panel(rng: Rng, n: int, means: Sequence[float], n_seeds: int) -> list[Claim]:
    hard, of_attack = rng.normal(size=n), rng.normal(size=(len(means), n))
    levels = rng.normal(size=(2, n))
    of_seed = (0.04 if n_seeds > 1 else 0.0) * rng.normal(size=(n_seeds, 1))
    claims = []
    for j, mean in enumerate(means):
        common = np.sqrt(0.5) * (hard + of_attack[j // 5])
        given = [
            shares(rng, mean, 12, n, common, 0.7),
            shares(rng, ORIGINAL, 30, n, levels[0], 0.8),
            shares(rng, RETRAINED, 20, n, levels[1], 0.8),
        ]
        given[0] = given[0] + of_seed + (0.03 if n_seeds > 1 else 0) * rng.normal(size=(n_seeds, n))
        half = range(n // 2, n) if j >= 15 and n >= 40 else range(n)
        kept = [values[..., list(half)] for values in given]
        claims.append(Claim((stratum("0", kept, items=half),)))
    return claims
