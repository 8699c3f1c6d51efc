"""The paired test: against enumeration, and how often it finds a difference where none is."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats
from statistics_cases import MA, interval, outcomes, result

from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.statistics.outcomes import Outcomes
from unlearnbench.analysis.statistics.paired import (
    ALL_PAIRS_UP_TO,
    N_SIGNS,
    compare_pair,
    holm,
    p_values,
    pairwise,
)
from unlearnbench.results.record import Result

N = 2000
rng = np.random.default_rng(8)
_start = rng.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers_whatever_ran_before() -> None:
    rng.bit_generator.state = _start


def test_few_documents_are_enumerated_as_scipy_does() -> None:
    for _ in range(5):
        a, b = rng.random(11) + 0.2, rng.random(11)
        theirs = stats.permutation_test(
            (a, b), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples",
            vectorized=True, n_resamples=np.inf,
        )  # fmt: skip
        ours = compare_pair(outcomes([a]), outcomes([b]))
        assert ours is not None
        assert ours.p == pytest.approx(theirs.pvalue)
        assert ours.difference == pytest.approx(a.mean() - b.mean())
        assert (ours.n_documents, ours.low is not None) == (11, True)


def test_many_documents_are_sampled_close_to_all_relabellings() -> None:
    a, b = rng.random((2, 7)) + 0.15, rng.random((2, 7))
    effects = ((a - b) / 7 / 2).ravel()  # two forget sets of seven rows
    all_sums = [abs(np.dot(signs, effects)) for signs in product((-1, 1), repeat=14)]
    exact = np.mean(np.array(all_sums) >= abs(effects.sum()) - 1e-12)
    (p,) = p_values([(outcomes(list(a)), outcomes(list(b)))])
    assert 0 < exact < 1
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / N_SIGNS) + 1e-4)


def test_an_extreme_difference_is_bounded_not_floored() -> None:
    a, b = np.ones(40) + rng.random(40) / 10, np.zeros(40)
    (p,) = p_values([(outcomes([a]), outcomes([b]))])
    assert 2.0**-39 <= p < 1e-7  # the exact one: only two relabellings are as extreme


def test_documents_without_a_difference_carry_no_weight() -> None:
    a = np.concatenate([np.ones(6), rng.random(200)])
    b = np.concatenate([np.zeros(6), a[6:]])
    (p,) = p_values([(outcomes([a]), outcomes([b]))])
    assert p == pytest.approx(2 / 2**6)
    same = compare_pair(outcomes([a]), outcomes([a]))
    assert same is not None
    assert (same.p, same.difference, same.low) == (1.0, 0.0, None)


def test_the_order_of_two_rows_turns_the_sign_only() -> None:
    a, b = outcomes([rng.random((3, 50))]), outcomes([rng.random((3, 50))])
    there, back = compare_pair(a, b), compare_pair(b, a)
    assert there is not None
    assert back is not None
    assert there.p == back.p
    assert there.difference == pytest.approx(-back.difference)


def test_perplexities_are_tested_on_the_log_scale_and_told_in_their_own() -> None:
    nll = rng.gamma(20, 0.1, 12)
    other = nll + rng.normal(0.05, 0.1, 12)
    found = compare_pair(outcomes([nll], is_exp=True), outcomes([other], is_exp=True))
    plain = compare_pair(outcomes([nll]), outcomes([other]))
    assert found is not None
    assert plain is not None
    assert found.p == plain.p
    assert found.difference == pytest.approx(np.exp(nll.mean()) - np.exp(other.mean()))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.difference < found.high


def test_what_cannot_be_compared_is_none() -> None:
    good = outcomes([rng.random(20)])
    assert compare_pair(good, outcomes([rng.random(20)], is_exp=True)) is None
    assert compare_pair(good, outcomes([np.append(rng.random(19), np.inf)])) is None
    huge = outcomes([np.full(20, 800.0)], is_exp=True)
    assert compare_pair(huge, outcomes([rng.random(20)], is_exp=True)) is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.9]) == [1.0, None, 1.0]
    with_nan = holm([0.01, math.nan])
    assert with_nan[0] == 0.01
    assert with_nan[1] is not None
    assert math.isnan(with_nan[1])
    assert holm([]) == []


def _identical_methods(kind: str, n_methods: int, n_tables: int) -> list[list[Outcomes]]:
    """Tables of methods that differ by noise alone, on documents of differing difficulty."""
    n_runs = {"accuracy, 3 runs": 3, "perplexity, 2 runs": 2}.get(kind, 1)
    shape = (n_tables, n_methods, n_runs, 64)
    difficulty = rng.random((n_tables, 1, 1, 64))
    if kind.startswith("accuracy"):
        values = (rng.random(shape) < difficulty).astype(float)
    else:
        values = difficulty + rng.exponential(0.3, shape)
    is_exp = kind.startswith("perplexity")
    return [[outcomes([each], is_exp) for each in table] for table in values]


@pytest.mark.parametrize(
    "kind", ["continuous", "accuracy", "accuracy, 3 runs", "perplexity, 2 runs"]
)
def test_identical_methods_differ_as_often_as_the_level_says(kind: str) -> None:
    tables = _identical_methods(kind, 2, N)
    p = np.array(p_values([(a, b) for a, b in tables]))
    for level in (0.01, 0.05, 0.2):
        error = 3.5 * math.sqrt(level * (1 - level) / N)
        share = np.mean(p <= level)
        print(f"{kind}: {100 * share:.1f}% at {level}")
        assert share <= level + error
        # 64 zeros and ones have few distinct differences: not every level can be reached.
        assert kind == "accuracy" or share >= level - error
    assert np.mean(p <= 0.05) > 0.02


def test_any_pair_of_identical_methods_is_told_apart_in_five_tables_of_a_hundred() -> None:
    n_tables = 800
    tables = _identical_methods("continuous", 4, n_tables)
    pairs = [pair for table in tables for pair in combinations(table, 2)]
    by_table = np.array(p_values(pairs)).reshape(n_tables, 6)
    any_plain = np.mean((by_table <= 0.05).any(axis=1))
    any_holm = np.mean(
        [min(p for p in holm(list(row)) if p is not None) <= 0.05 for row in by_table]
    )
    print(f"some pair: {100 * any_plain:.1f}% plain, {100 * any_holm:.1f}% after Holm")
    assert any_plain > 0.12
    assert 0.02 < any_holm <= 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / n_tables)


def test_a_real_difference_is_found() -> None:
    shift = rng.normal(0.15, 0.3, (200, 64))
    values = rng.random((200, 64))
    p = p_values([(outcomes([v + s]), outcomes([v])) for v, s in zip(values, shift, strict=True)])
    assert np.mean(np.array(p) < 0.05) > 0.9


def _results(n_methods: int) -> list[Result]:
    values = rng.random((n_methods, 40))
    return [result(f"M{i:02d}", ma=v, position=i) for i, v in enumerate(values)]


def test_pairs_of_a_column_are_corrected_together() -> None:
    results = [*_results(4), result("bare", nll=rng.random(20), position=9)]
    by_key = {r.key: r for r in results}
    found = pairwise(build_table(results).groups[0], MA, by_key)
    assert len(found) == 6
    assert [p.p_corrected for p in found] == holm([p.p for p in found])
    cells = {r.label: 100 * r.scores["forgetting"]["ma"].value for r in results[:4]}
    for pair in found:
        assert pair.difference == pytest.approx(cells[pair.first] - cells[pair.second])
        one = [100 * np.array(list(r.scores["forgetting"]["ma"].documents.values()))
               for r in results[:4] if r.label in (pair.first, pair.second)]  # fmt: skip
        # Documents are sorted by name in a cell, so that the drawn ones differ: close, not equal.
        ends = interval(outcomes([one[0] - one[1]]))
        assert ends is not None
        assert (pair.low, pair.high) == pytest.approx(tuple(ends), abs=2.0)


def test_of_very_many_rows_only_the_best_is_compared_with_the_second() -> None:
    n = ALL_PAIRS_UP_TO + 1
    results = _results(n)
    (pair,) = pairwise(build_table(results).groups[0], MA, {r.key: r for r in results})
    assert pair.p_corrected == min(1.0, pair.p * n * (n - 1) / 2)
    means = sorted((r.scores["forgetting"]["ma"].value, r.label) for r in results)
    assert (pair.first, pair.second) == (means[0][1], means[1][1])
