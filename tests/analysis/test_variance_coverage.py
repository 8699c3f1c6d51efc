"""Known components of variance come back, and intervals hold their truth as often as is stated.

The figures of docs/statistics.md: `pytest -m slow -s tests/analysis/test_variance_coverage.py`.
"""

import math
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import ks_2samp

from unlearnbench.analysis.derived.ks import smallest_detectable
from unlearnbench.analysis.statistics.outcomes import Outcomes, RunKey
from unlearnbench.analysis.statistics.outcomes import Stratum as OutcomesStratum
from unlearnbench.analysis.statistics.paired import p_values
from unlearnbench.analysis.variance.components import (
    ALL,
    ITEM,
    ITEMS,
    REST,
    SEED,
    SEEDS,
    TRAINING,
    TRAINING_ITEM,
    TRAININGS,
    Sample,
    Stratum,
    Variance,
    combined,
    mean_squares,
)
from unlearnbench.analysis.variance.statements import order_of

pytestmark = pytest.mark.slow
N = 2000


class Draw:
    """A sample of known effects, and what each interval is meant to hold."""

    def __init__(self, rng, shape, deviations, is_binary=False):
        n_t, n_s, n_f, n_i = shape
        a, b, c, d, e = deviations
        training = a * rng.normal(size=(n_t, 1, 1, 1))
        seed = b * rng.normal(size=(n_t, n_s, n_f, 1))
        item = c * rng.normal(size=(1, 1, n_f, n_i))
        both = d * rng.normal(size=(n_t, 1, n_f, n_i))
        values = training + seed + item + both + e * rng.normal(size=(n_t, n_s, n_f, n_i))
        if is_binary:
            values = (values > 0).astype(float)
        weights = np.array([1.0 / n_f])
        self.sample = Sample.of([Stratum(values[:, :, [f]], weights, (f,)) for f in range(n_f)])
        self.truth = {
            ITEMS: float((training + seed).mean()),
            SEEDS: float((training + item + both).mean()),
            TRAININGS: float(item.mean()),
            ALL: 0.0,
        }


# What one training, seed and item vary by; c and d, e of an item, so c / sqrt(64) of a mean.
EQUAL = (1.0, 1.0, 4.0, 2.0, 2.0)
CASES = {
    "3 trainings, 2 seeds, 1 x 64 items": ((3, 2, 1, 64), EQUAL),
    "3 trainings, 2 seeds, 3 x 64 items": ((3, 2, 3, 64), EQUAL),
    "3 trainings, 1 seed, 3 x 64 items": ((3, 1, 3, 64), EQUAL),
    "5 trainings, 3 seeds, 3 x 64 items": ((5, 3, 3, 64), EQUAL),
    "2 trainings, 2 seeds, 1 x 64 items": ((2, 2, 1, 64), EQUAL),
    "3 trainings that differ much": ((3, 2, 1, 64), (4.0, 1.0, 4.0, 2.0, 2.0)),
    "3 trainings that differ in nothing": ((3, 2, 1, 64), (0.0, 0.0, 4.0, 0.0, 2.0)),
    "1 training, 2 seeds, 1 x 64 items": ((1, 2, 1, 64), (0.0, 1.0, 4.0, 0.0, 2.0)),
    "1 training, 2 seeds, 3 x 64 items": ((1, 2, 3, 64), (0.0, 1.0, 4.0, 0.0, 2.0)),
    "1 training, 5 seeds, 1 x 64 items": ((1, 5, 1, 64), (0.0, 1.0, 4.0, 0.0, 2.0)),
}


def satterthwaite(squares) -> Variance:
    """Over both as one variance: the textbook's way, which covers too little."""
    return combined([(1.0, squares._models), (1.0, squares._items_alone)])


@pytest.mark.parametrize("case", CASES)
def test_components_and_intervals(case: str) -> None:
    shape, deviations = CASES[case]
    _, n_s, n_f, n_i = shape
    rng = np.random.default_rng(20250110)
    hits: dict[str, int] = defaultdict(int)
    means: dict[str, list[float]] = defaultdict(list)
    welch = 0
    for _ in range(N):
        draw = Draw(rng, shape, deviations)
        squares = mean_squares(draw.sample)
        for name, value in squares.components.items():
            means[name].append(value)
        for over, truth in draw.truth.items():
            reach = squares.reach(over)
            if reach is not None:
                hits[over] += abs(draw.sample.mean - truth) <= reach
        welch += abs(draw.sample.mean) <= satterthwaite(squares).reach()
    known = dict(zip((TRAINING, SEED, ITEM, TRAINING_ITEM, REST), deviations, strict=True))
    per_mean = {TRAINING: 1, SEED: n_f, **dict.fromkeys((ITEM, TRAINING_ITEM, REST), n_f * n_i)}
    printed = []
    for name, values in means.items():
        truth = known[name] ** 2 / per_mean[name]
        if name == TRAINING and n_s == 1:
            truth += known[SEED] ** 2 / n_f
        if name == TRAINING_ITEM and n_s == 1:
            truth += known[REST] ** 2 / (n_f * n_i)
        error = np.std(values) / math.sqrt(N)
        printed.append(f"{name} {np.mean(values):.3f} ({truth:.3f})")
        # A component of 0 is on average above it: what is negative is 0.
        if truth > 0.05:
            assert np.mean(values) == pytest.approx(truth, abs=5 * error + 0.12 * truth)
    covered = {over: round(100 * n / N, 1) for over, n in hits.items()}
    print(f"\n{case}: {covered}, Satterthwaite {100 * welch / N:.1f}; {', '.join(printed)}")
    for over, per_cent in covered.items():
        assert per_cent >= (93.5 if over != ALL else 94.0)


@pytest.mark.parametrize("n_items", [20, 64, 128])
def test_right_or_wrong_items(n_items: int) -> None:
    rng = np.random.default_rng(20250111)
    hits = 0
    for _ in range(N):
        draw = Draw(rng, (3, 2, 1, n_items), (0.2, 0.1, 1.0, 0.3, 0.3), is_binary=True)
        squares = mean_squares(draw.sample)
        hits += abs(draw.sample.mean - 0.5) <= squares.reach(ALL)
    print(f"\n{n_items} right or wrong: {100 * hits / N:.1f}")
    assert hits / N >= 0.94


def _outcomes(values: np.ndarray) -> Outcomes:
    names = tuple(map(str, range(len(values))))
    stratum = OutcomesStratum("", names, (RunKey("set", None),), values[None], np.ones(1))
    return Outcomes((stratum,))


@pytest.mark.parametrize("n_items", [40, 128, 400])
@pytest.mark.parametrize(
    ("training", "item"), [(0.0, 0.0), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (2.0, 1.0)]
)
def test_null_pair(training: float, item: float, n_items: int) -> None:
    """Two retrained models that differ in nothing but the seed, on the same items.

    `training` is how much a seed moves a model's mean, in standard errors of such a mean over what
    a model does on single items; `item` how much items differ, whatever the model.
    """
    rng = np.random.default_rng(20250112)
    both = 0.5
    shift = training * both / math.sqrt(n_items)
    pairs = []
    for _ in range(N):
        items = item * rng.normal(size=n_items)
        one, other = (
            items + shift * rng.normal() + both * rng.normal(size=n_items) for _ in range(2)
        )
        pairs.append((one, other))
    p = p_values([(_outcomes(one), _outcomes(other)) for one, other in pairs])
    least = smallest_detectable(n_items) - 1e-9  # D with p < 0.05
    distances = [ks_2samp(*pair, method="asymp").statistic for pair in pairs]
    paired, ks = (np.array(p) < 0.05).mean(), (np.array(distances) >= least).mean()
    print(
        f"\nnull pair, {n_items} items that differ by {item}, trainings {training}: "
        f"paired {100 * paired:.1f}, KS {100 * ks:.1f}"
    )
    if training == 0.0:
        assert 0.035 <= paired <= 0.065
        assert ks <= 0.05


@pytest.mark.parametrize("shape", [(3, 2, 1, 64), (3, 1, 3, 128), (5, 2, 1, 64)])
@pytest.mark.parametrize("training", [0.0, 1.0, 4.0])
def test_equal_methods_over_trainings(shape, training: float) -> None:
    """The difference of two equal methods: how often 0 lies outside each interval."""
    rng = np.random.default_rng(20250113)
    out: dict[str, int] = defaultdict(int)
    deviations = (training, 1.0, 4.0, 2.0, 2.0)
    for _ in range(N):
        first, second = (Draw(rng, shape, deviations).sample for _ in range(2))
        difference = first.minus(second)
        squares = mean_squares(difference)
        for over in (ITEMS, SEEDS, TRAININGS, ALL):
            reach = squares.reach(over)
            if reach is not None:
                out[over] += abs(difference.mean) > reach
    print(f"\nequal methods, {shape}, {training}: { {k: 100 * n / N for k, n in out.items()} }")
    assert out[ALL] / N <= 0.06


@pytest.mark.parametrize("n", [2, 3, 5])
def test_stated_probability_of_a_new_training(n: int) -> None:
    rng = np.random.default_rng(20250114)
    stated: dict[int, list[bool]] = defaultdict(list)
    for _ in range(20 * N):
        mean = rng.normal()  # differences of many pairs of methods, in seeds' deviations
        values = mean + rng.normal(size=n + 1)
        order = order_of(values[:-1])
        stated[int(10 * order.next_better)].append(values[-1] > 0)
    shares = {k: (round(100 * np.mean(v)), len(v)) for k, v in sorted(stated.items())}
    print(f"\nof {n} trainings, stated in tenths: {shares}")
    # Symmetric, rising with what is stated, and too sure at both ends (docs/statistics.md).
    rising = [share for share, _ in shares.values()]
    assert all(later > earlier - 3 for earlier, later in pairwise(rising))
    assert 76 <= shares[9][0] <= 92
    assert shares[0][0] + shares[9][0] == pytest.approx(100, abs=3)
