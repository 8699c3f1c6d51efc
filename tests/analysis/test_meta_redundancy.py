"""Rank correlations against scipy's and the published table; groups of metrics by hand."""

import json

import numpy as np
import pytest

from unlearnbench.analysis.attacks.robustness import quantisation_robustness
from unlearnbench.analysis.meta.redundancy import redundancy, spearman, spearman_matrix
from unlearnbench.analysis.meta.robustness import aggregate

# FIELD 2.5: metric, R, Q, HM(R, Q) of UDS's twenty published rows.
PUBLISHED = """EM .6051 .9843 .7495 | ES .7703 .97 .8587 | Prob .6417 .9238 .7573
ParaProb .8988 .8529 .8752 | TruthRatio .2343 .996 .3794 | ROUGE .2025 .9342 .3329
ParaROUGE .0637 .9507 .1194 | Jailbreak .1831 .9713 .3081 | LOSS .5192 .9348 .6676
zlib .4874 .9382 .6415 | MinK .5322 .9231 .6752 | MinK++ .4308 .8826 .579
s_loss .6635 .7194 .6903 | s_zlib .745 .7036 .7237 | s_mink .6974 .7104 .7038
s_mink++ .5655 .6427 .6016 | CKA .0134 .9968 .0264 | lens .8116 .9587 .8791
Fisher .946 .5825 .721 | UDS .8997 .9677 .9325"""


def rows() -> list[list[str]]:
    return [row.split() for line in PUBLISHED.split("\n") for row in line.split("|")]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_aggregate_is_the_published_one(row: list[str]) -> None:
    # R and Q are printed with four digits, which leaves the fourth of a small HM open.
    assert aggregate(float(row[1]), float(row[2])) == pytest.approx(float(row[3]), abs=2e-4)


def test_aggregate_needs_both_and_is_0_where_one_is() -> None:
    assert len(rows()) == 20
    assert aggregate(None, 0.5) is None
    assert aggregate(0.0, 0.5) == 0.0
    assert quantisation_robustness(0.5, 1.0) == 0.5


def test_spearman_of_the_published_table(shared) -> None:
    path = shared / "data" / "unlearning_depth_score" / "method_results.json"
    if not path.is_file():
        pytest.skip(f"the published table is not at {path}")
    models = [m for m in json.loads(path.read_text())["models"] if m["method"] not in REFERENCES]
    column = {name: [m[name] for m in models] for name in ("one_minus_es", "one_minus_em", "uds",
                                                          "one_minus_paraprob")}  # fmt: skip
    assert len(models) == 150
    assert spearman(column["one_minus_es"], column["uds"]) == pytest.approx(0.96, abs=0.005)
    assert spearman(column["one_minus_em"], column["uds"]) == pytest.approx(0.95, abs=0.005)
    assert spearman(column["one_minus_paraprob"], column["uds"]) == pytest.approx(0.63, abs=0.005)


REFERENCES = ("full", "retain")


def test_matrix_is_scipys_over_the_models_that_have_both() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=(20, 4)), 1)  # with ties
    values[:, 1] += values[:, 0]
    values[3:9, 2] = np.nan
    matrix = spearman_matrix(values)
    assert np.allclose(matrix, matrix.T)
    for i, j in ((0, 1), (0, 2), (1, 3)):
        both = ~np.isnan(values[:, [i, j]]).any(axis=1)
        want = spearmanr(values[both, i], values[both, j]).statistic
        assert matrix[i, j] == pytest.approx(want)


def test_too_few_models_and_a_constant_metric_have_no_correlation() -> None:
    assert np.isnan(spearman([1, 2, 3, 4], [1, 2, 3, 4]))
    assert np.isnan(spearman([1, 2, 3, 4, np.nan], [1, 2, 3, 4, 5]))
    assert np.isnan(spearman([1, 1, 1, 1, 1], [1, 2, 3, 4, 5]))
    assert spearman([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]) == pytest.approx(-1)


def test_groups_are_of_metrics_that_are_alike_pair_by_pair() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=40), rng.normal(size=40)
    noise = 0.05 * rng.normal(size=(40, 2))
    values = np.stack([one, other, -one + noise[:, 0], other + noise[:, 1], rng.normal(size=40)])
    found = redundancy(values.T)
    assert {frozenset(group) for group in found.groups} == {frozenset({0, 2}), frozenset({1, 3})}
    at = {metric: place for place, metric in enumerate(found.order)}
    assert abs(at[0] - at[2]) == abs(at[1] - at[3]) == 1  # clusters lie together
    assert found.correlations[at[0], at[2]] < -0.9
    for group in found.groups:
        pairs = [abs(found.correlations[at[a], at[b]]) for a in group for b in group]
        assert min(pairs) >= 0.9


def test_one_metric_is_no_cluster() -> None:
    assert redundancy(np.arange(6.0)[:, None]).groups == ()
    assert redundancy(np.empty((6, 0))).order == ()
