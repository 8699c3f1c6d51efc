"""Eq. 11, against numpy, scipy and the 46 values that the paper prints."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from unlearnbench.analysis.build_table import min_max, normalized_scores, z_scores
from unlearnbench.analysis.table import Table
from unlearnbench.reporting.published import as_table, printed_table

PAPER_NAMES = {"table1": 36, "tinyllama": 10}


def test_both_scores_against_scipy_and_numpy() -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=6) * 10 for name in "abc"}
    directions = {"a": True, "b": False, "c": False}
    signs = {name: 1 if up else -1 for name, up in directions.items()}
    scores = normalized_scores({n: list(v) for n, v in columns.items()}, directions)
    z = sum(signs[n] * stats.zscore(v, ddof=0) for n, v in columns.items())
    m = sum(signs[n] * (v - v.min()) / np.ptp(v) for n, v in columns.items())
    np.testing.assert_allclose(scores.s_z, z, atol=1e-12)
    np.testing.assert_allclose(scores.s_m, m, atol=1e-12)
    assert scores.metrics == ("a", "b", "c")
    assert scores.left_out == ()


def test_a_constant_metric_counts_nothing() -> None:
    assert z_scores([2.0, 2.0, 2.0], True) == min_max([2.0, 2.0, 2.0], False) == [0.0] * 3
    # 0.1 + 0.2 != 0.3: without a tolerance this difference would rank the rows.
    assert z_scores([0.1 + 0.2, 0.3], True) == [0.0, 0.0]
    assert z_scores([0.0, 0.0], True) == [0.0, 0.0]


@pytest.mark.parametrize("hole", [None, math.nan, -math.inf])
def test_a_metric_missing_in_one_row_is_left_out_for_all(hole: float | None) -> None:
    columns = {"el10": [1.0, 2.0], "gpt": [hole, 3.0]}
    scores = normalized_scores(columns, {"el10": False, "gpt": True})
    assert (scores.metrics, scores.left_out) == (("el10",), ("gpt",))
    assert (scores.s_z, scores.s_m) == ([1.0, -1.0], [0.0, -1.0])


def test_the_cap_comes_first() -> None:
    columns = {"ppl": [10.0, 510.0, math.inf]}
    capped = normalized_scores(columns, {"ppl": False}, {"ppl": 1010.0})
    assert capped.s_m == pytest.approx([0.0, -0.5, -1.0])
    assert normalized_scores(columns, {"ppl": False}).left_out == ("ppl",)


def test_no_rows_and_unequal_columns() -> None:
    assert normalized_scores({"a": []}, {"a": True}).s_z == []
    with pytest.raises(ValueError, match="different lengths"):
        normalized_scores({"a": [1.0], "b": []}, {"a": True, "b": True})


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8),
    st.floats(1e-3, 1e3),
    st.booleans(),
)
def test_scores_do_not_depend_on_the_unit(values: list[float], scale: float, up: bool) -> None:
    scores = normalized_scores({"a": values}, {"a": up})
    scaled = normalized_scores({"a": [v * scale for v in values]}, {"a": up})
    np.testing.assert_allclose(scores.s_z, scaled.s_z, atol=1e-4)
    assert sum(scores.s_z) == pytest.approx(0.0, abs=1e-6)
    assert all(0.0 <= (s if up else -s) <= 1.0 for s in scores.s_m)


@pytest.fixture
def published(shared: Path) -> Path:
    return shared / "published" / "results.csv"


@pytest.mark.parametrize("name", PAPER_NAMES)
def test_every_printed_score_is_reproduced(published: Path, name: str) -> None:
    """The report, fed with the paper's printed columns (v2), gives its s_z and s_m to 0.005."""
    computed = _computed(as_table(printed_table(name, "v2").rows))
    printed = _printed(published, name)
    assert len(printed) == PAPER_NAMES[name]
    assert computed.keys() == printed.keys()
    # 0.005 is half of the last printed digit.
    off = {k: (computed[k], v) for k, v in printed.items() if abs(computed[k] - v) > 0.005 + 1e-9}
    assert not off


def _computed(table: Table) -> dict[tuple[str, str, str], float]:
    return {
        (group.parameters, row.method, name): row.cells[name].mean
        for group in table.groups
        for row in group.rows
        for name in ("s_z", "s_m")
        if name in row.cells
    }


def _printed(path: Path, table: str) -> dict[tuple[str, str, str], float]:
    with path.open(newline="") as file:
        return {
            (r["params"], r["method"], r["metric"]): float(r["value"])
            for r in csv.DictReader(file)
            if (r["source"], r["table"]) == ("v2", table) and r["metric"] in ("s_z", "s_m")
        }
