"""Components of variance: expected mean squares by brute force, a textbook's projections, scipy."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from scipy import stats

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
    Array,
    Sample,
    Stratum,
    Variance,
    combined,
    mean_squares,
    seeds_alike,
)

N_T, N_S = 3, 2
# Rows of two forget sets; and a question set that every run answers, beside a smaller one.
ROWS = (((0.5,), (0,), 4), ((0.5,), (1,), 5))
SETS = (((0.3, 0.2), (0, 1), 4), ((0.1, 0.4), (0, 1), 3))
EFFECTS = (TRAINING, SEED, ITEM, TRAINING_ITEM, REST)


def sample(values: list[Array], layout=ROWS) -> Sample:
    return Sample.of(
        [
            Stratum(v, np.array(weights), places)
            for v, (weights, places, _) in zip(values, layout, strict=True)
        ]
    )


def columns(effect: str, layout) -> Iterator[Sample]:
    """Every single effect of a kind alone, at 1: the columns of its design."""
    sizes = [n for _, _, n in layout]
    if effect == TRAINING:
        for t in range(N_T):
            yield _ones(layout, lambda v, at, t=t: v[t].fill(1.0))
    elif effect == SEED:  # of a run of one forget set, all its strata
        for t, s, f in product(range(N_T), range(N_S), range(2)):

            def fill(v, at, t=t, s=s, f=f):
                places = layout[at][1]
                if f in places:
                    v[t, s, places.index(f)] = 1.0

            yield _ones(layout, fill)
    else:
        for at, n in enumerate(sizes):
            for i in range(n):
                yield from _of_item(effect, layout, at, i)


def _of_item(effect, layout, at, i) -> Iterator[Sample]:
    def only(v, stratum, *where):
        if stratum == at:
            v[(*where, i)] = 1.0

    every = slice(None)
    if effect == ITEM:
        yield _ones(layout, lambda v, stratum: only(v, stratum, every, every, every))
    elif effect == TRAINING_ITEM:
        for t in range(N_T):
            yield _ones(layout, lambda v, stratum, t=t: only(v, stratum, t, every, every))
    else:
        for t, s, f in product(range(N_T), range(N_S), range(len(layout[at][1]))):
            yield _ones(layout, lambda v, k, t=t, s=s, f=f: only(v, k, t, s, f))


def _ones(layout, fill) -> Sample:
    values = [np.zeros((N_T, N_S, len(places), n)) for _, places, n in layout]
    for at, v in enumerate(values):
        fill(v, at)
    return sample(values, layout)


@pytest.mark.parametrize("layout", [ROWS, SETS], ids=["rows", "question sets"])
def test_expected_mean_squares_are_those_that_are_stated(layout) -> None:
    # A mean square is a quadratic form, so its expectation is the sum over the columns of each
    # design, times that effect's variance; of a training with a seed the same holds for its mean.
    expected = {
        TRAINING: {TRAINING: 1, SEED: 1 / N_S, TRAINING_ITEM: 1, REST: 1 / N_S},
        SEED: {SEED: 1, REST: 1},
        ITEM: {ITEM: 1, TRAINING_ITEM: 1 / N_T, REST: 1 / (N_T * N_S)},
        TRAINING_ITEM: {TRAINING_ITEM: 1, REST: 1 / N_S},
        REST: {REST: 1},
    }
    for effect in EFFECTS:
        every = list(columns(effect, layout))
        one = sum(s.runs[0, 0].sum() ** 2 for s in every)  # its variance in a mean of one run
        for name in EFFECTS:
            found = sum(mean_squares(s)._squares[name].value for s in every)
            assert found == pytest.approx(expected[name].get(effect, 0) * one, abs=1e-12)


def test_components_are_those_of_a_textbooks_projections() -> None:
    n_i = 6
    rng = np.random.default_rng(1)
    values = (
        rng.normal(size=(N_T, N_S, n_i))
        + 5 * rng.normal(size=(N_T, 1, 1))
        + 4 * rng.normal(size=(N_T, N_S, 1))
        + 9 * rng.normal(size=n_i)
        + 6 * rng.normal(size=(N_T, 1, n_i))
    )
    t, s, i = (each.ravel() for each in np.indices(values.shape))
    designs = {
        TRAINING: t, SEED: t * N_S + s, ITEM: i, TRAINING_ITEM: t * n_i + i,
        REST: np.arange(values.size),
    }  # fmt: skip
    dummies = {
        name: np.equal.outer(of, np.unique(of)).astype(float) for name, of in designs.items()
    }
    # Each effect's own part: what it spans beyond what is spanned before it.
    spanned = np.ones((values.size, 1))
    squares, coefficients = [], []
    for name in EFFECTS:
        before = spanned @ np.linalg.pinv(spanned)
        spanned = np.hstack([spanned, dummies[name]])
        own = spanned @ np.linalg.pinv(spanned) - before
        squares.append(values.ravel() @ own @ values.ravel())
        coefficients.append([np.trace(own @ d @ d.T) for d in dummies.values()])
    solved = dict(zip(EFFECTS, np.linalg.solve(coefficients, squares), strict=True))
    assert min(solved.values()) > 0
    of_items = {name: solved[name] / n_i for name in (ITEM, TRAINING_ITEM, REST)}
    made = mean_squares(sample([values[:, :, None]], (((1.0,), (0,), n_i),))).components
    assert made == pytest.approx({**solved, **of_items})


def test_what_cannot_be_told_apart_is_in_one_component() -> None:
    rng = np.random.default_rng(2)
    one = (((1.0,), (0,), 12),)
    several = rng.normal(size=(3, 2, 1, 12))
    assert set(mean_squares(sample([several], one)).components) == set(EFFECTS)
    one_seed = mean_squares(sample([several[:, :1]], one))
    assert set(one_seed.components) == {TRAINING, ITEM, TRAINING_ITEM}
    one_training = mean_squares(sample([several[:1]], one))
    assert set(one_training.components) == {SEED, ITEM, REST}
    single = mean_squares(sample([several[:1, :1]], one))
    assert set(single.components) == {ITEM}
    reach = {over: single.reach(over) for over in (ITEMS, SEEDS, TRAININGS, ALL)}
    assert [over for over, half in reach.items() if half is not None] == [ITEMS]


def test_intervals_over_trainings_and_seeds_are_students() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4, 3, 1, 10))
    given = sample([values], (((1.0,), (0,), 10),))
    squares = mean_squares(given)
    of_trainings = values.mean(axis=(1, 2, 3))
    low, high = stats.t.interval(0.95, 3, of_trainings.mean(), stats.sem(of_trainings))
    reach = squares.reach(TRAININGS)
    assert (given.mean - reach, given.mean + reach) == pytest.approx((low, high))
    within = values.mean(axis=(2, 3)).var(axis=1, ddof=1).mean()
    assert squares.over_seeds == pytest.approx(Variance(within / 12, 8))
    of_items = values.mean(axis=(0, 1, 2))
    assert squares.over_items == pytest.approx(Variance(of_items.var(ddof=1) / 10, 9))


def test_over_all_is_never_narrower_than_over_items_or_models_alone() -> None:
    rng = np.random.default_rng(4)
    for n_t, n_s in product((1, 2, 3), repeat=2):
        squares = mean_squares(sample([rng.normal(size=(n_t, n_s, 1, 12))], (((1.0,), (0,), 12),)))
        parts = [squares.reach(over) for over in (SEEDS, TRAININGS)]
        models = parts[1] if n_t > 1 else parts[0]
        if models is not None:
            assert squares.reach(ALL) >= max(models, squares.reach(ITEMS))


def test_a_score_without_items_varies_over_models_alone() -> None:
    runs = np.array([[[1.0], [2.0]], [[3.0], [6.0]]])
    squares = mean_squares(Sample(runs))
    assert squares.reach(ITEMS) is None
    assert squares.reach(ALL) is None
    # Trainings 1.5 and 4.5; within them 0.5 and 4.5.
    assert squares.components == pytest.approx({TRAINING: 4.5 - 2.5 / 2, SEED: 2.5})


def test_a_negative_component_is_0() -> None:
    alike = np.array([[[0.0], [10.0]], [[0.0], [10.0]]])  # seeds differ, trainings do not
    assert mean_squares(Sample(alike)).components == {TRAINING: 0.0, SEED: 50.0}


def test_differences_are_taken_item_by_item() -> None:
    rng = np.random.default_rng(5)
    shared = rng.normal(size=(3, 2, 1, 12)) * 50
    layout = (((1.0,), (0,), 12),)
    first, second = sample([shared + 1.5], layout), sample([shared], layout)
    difference = first.minus(second)
    assert difference.mean == pytest.approx(1.5)
    assert mean_squares(difference).reach(ALL) == pytest.approx(0.0, abs=1e-9)


def test_satterthwaite() -> None:
    # Welch's degrees of freedom.
    first, second = np.array([1.0, 4.0, 2.0, 8.0]), np.array([0.0, 1.0, 5.0])
    parts = [(1.0, Variance(x.var(ddof=1) / len(x), len(x) - 1)) for x in (first, second)]
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert combined(parts).df == pytest.approx(welch.df)
    assert combined([(1.0, Variance(1.0, 2)), (-2.0, Variance(1.0, 2))]).value == 0.0


def test_seeds_that_act_alike_are_found_by_the_f_test_of_two_regressions() -> None:
    rng = np.random.default_rng(7)
    runs = rng.normal(size=(4, 3, 2)) + 2.0 * rng.normal(size=(1, 3, 2))  # trainings, seeds, sets
    y = runs.ravel()
    t, s, f = (each.ravel() for each in np.indices(runs.shape))

    def left(*factors: Array) -> tuple[float, int]:
        design = np.hstack([np.equal.outer(x, np.unique(x)).astype(float) for x in factors])
        fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
        return float(((y - fitted) ** 2).sum()), len(y) - int(np.linalg.matrix_rank(design))

    of_both, df_both = left(t * 2 + f, s * 2 + f)
    of_trainings, df_trainings = left(t * 2 + f)
    df = df_trainings - df_both
    ratio = ((of_trainings - of_both) / df) / (of_both / df_both)
    assert seeds_alike(Sample(runs)) == pytest.approx(stats.f.sf(ratio, df, df_both))
    assert seeds_alike(Sample(runs)) < 0.05
    assert seeds_alike(Sample(runs[:1])) is None
    assert seeds_alike(Sample(runs[:, :1])) is None
