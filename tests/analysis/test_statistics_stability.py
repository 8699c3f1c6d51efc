"""Who is first when runs, metrics or rows change: against going through every draw."""

from itertools import product

import numpy as np
import pytest
from statistics_cases import COLUMNS, result

from unlearnbench.analysis.build_table import build_table, normalized_scores
from unlearnbench.analysis.statistics.stability import (
    Stability,
    draw_portions,
    rank_stability,
    scores_of_draws,
)
from unlearnbench.results.record import Result

rng = np.random.default_rng(9)
LABELS = ("OPT", "A", "B")


def stability(results: list[Result]) -> Stability:
    table = build_table(results)
    return rank_stability(table.groups[0], table.metric_columns, {r.key: r for r in results})


def _results(n_runs: int) -> list[Result]:
    found = []
    for at, label in enumerate(LABELS):
        for run in range(n_runs):
            role = "dedup" if label == "OPT" else "method"
            # OPT's perplexity is above the cap in some runs and infinite in one.
            nll = rng.normal(6.8, 1.0, 20) if label == "OPT" else rng.normal(3, 0.3, 20)
            found.append(
                result(label, str(run), ma=rng.random(20), nll=nll, role=role, position=at,
                       sets={"copa": rng.random(20), "piqa": rng.random(20)})
            )  # fmt: skip
    found[0].scores["perplexity"]["pile_ppl"].value = float("inf")
    del found[-1].scores["classification"]
    return found


def _brute_force(results: list[Result], n_runs: int) -> dict[str, np.ndarray]:
    shares = {name: np.zeros(3) for name in ("s_z", "s_m")}
    for draw in product(range(n_runs), repeat=n_runs):
        columns = {}
        for c in COLUMNS:
            means = []
            for row in range(3):
                of_row = [results[row * n_runs + run].scores.get(c.task, {}) for run in draw]
                values = [s[c.metric].value * c.scale for s in of_row if c.metric in s]
                means.append(sum(values) / len(values) if values else None)
            columns[c.name] = means
        scores = normalized_scores(
            columns, {c.name: bool(c.higher_is_better) for c in COLUMNS},
            {c.name: 1000.0 if c.capped else None for c in COLUMNS},
        )  # fmt: skip
        for name, of in (("s_z", scores.s_z), ("s_m", scores.s_m)):
            is_first = np.array(of) >= max(of) - 1e-9
            shares[name] += is_first / is_first.sum() / n_runs**n_runs
    return shares


def test_shares_are_those_of_every_ordered_draw() -> None:
    results = _results(3)
    found = stability(results)
    assert (found.rows, found.n_runs, found.is_exact) == (LABELS, 3, True)
    expected = _brute_force(results, 3)
    for name in ("s_z", "s_m"):
        assert found.shares[name] == pytest.approx(expected[name])
        assert sum(found.shares[name]) == pytest.approx(1)
    assert len(set(found.shares["s_z"])) == 3  # none of it is trivial


def test_scores_of_draws_are_the_normalised_scores_of_their_means() -> None:
    values = rng.normal(5, 2, (6, 4, 3))
    values[:, 1] = 0.7  # constant
    values[2, 2, 1], values[3, 3, 0] = np.inf, np.nan
    draws = np.array([[0, 0, 0], [0, 1, 2], [2, 2, 1]])
    signs, caps = np.array([1.0, 1.0, -1.0, -1.0]), np.array([np.inf, np.inf, 6.0, np.inf])
    s_z, s_m = scores_of_draws(values, draws, signs, caps)
    for at, draw in enumerate(draws):
        columns = {}
        for m in range(4):
            known = [values[row, m, draw][~np.isnan(values[row, m, draw])] for row in range(6)]
            columns[str(m)] = [float(v.mean()) if len(v) else None for v in known]
        expected = normalized_scores(columns, {str(m): signs[m] > 0 for m in range(4)}, {"2": 6.0})
        assert s_z[at] == pytest.approx(expected.s_z)
        assert s_m[at] == pytest.approx(expected.s_m)


def test_equal_rows_share_the_first_place() -> None:
    values = rng.random((2, 20))
    results = [result(label, str(run), ma=values[run]) for label in "AB" for run in range(2)]
    found = stability(results)
    assert found.shares["s_z"] == pytest.approx((0.5, 0.5))


def test_many_runs_are_sampled() -> None:
    weights = np.concatenate([w for _, w in draw_portions(6, 10)])
    assert len(weights) == 5000
    assert weights.sum() == pytest.approx(1)
    exact = np.concatenate([w for _, w in draw_portions(5, 10)])
    assert len(exact) == 126  # multisets of five
    assert exact.sum() == pytest.approx(1)
    ma = {"A": 0.4 + rng.normal(0, 0.1, 6), "B": 0.42 + rng.normal(0, 0.1, 6)}
    results = [
        result(label, str(run), ma=np.full(20, v))
        for label, of in ma.items()
        for run, v in enumerate(of)
    ]
    found = stability(results)
    draws = np.random.default_rng(3).integers(6, size=(20_000, 6))
    share = np.mean(ma["A"][draws].mean(axis=1) < ma["B"][draws].mean(axis=1))
    assert not found.is_exact
    assert 0.2 < share < 0.999
    assert found.shares["s_m"][0] == pytest.approx(share, abs=0.03)


def test_fewer_than_two_common_runs_say_nothing_of_runs() -> None:
    runs = (("A", "0"), ("A", "1"), ("B", "1"), ("B", "2"))
    results = [result(label, run, ma=rng.random(20)) for label, run in runs]
    found = stability(results)
    assert (found.n_runs, found.shares) == (1, {})
    assert stability([result("A", ma=rng.random(20))]).without_row == {}


def test_a_reference_row_stands_for_every_seed() -> None:
    results = [result("A", seed=s, ma=rng.random(20)) for s in (1, 2, 3)]
    results.append(result("OPT", role="dedup", ma=rng.random(20)))
    assert stability(results).n_runs == 3


def test_leaving_out_a_metric_or_a_row_is_the_table_without_it() -> None:
    results = _results(3)
    found = stability(results)
    table = build_table(results)
    for at, name in enumerate(("s_z", "s_m")):
        for left in LABELS:
            rest = build_table([r for r in results if r.label != left]).groups[0].compared
            best = max(rest, key=lambda row: row.cells[name].mean)
            assert found.without_row[left][at] == (best.label,)
        for left in table.groups[0].scored:
            kept = [
                r.model_copy(update={"metrics": [m for m in r.metrics if m.name != left]})
                for r in results
            ]
            rest = build_table(kept).groups[0].compared
            best = max(rest, key=lambda row: row.cells[name].mean)
            assert found.without_metric[left][at] == (best.label,)
