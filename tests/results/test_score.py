"""Scores are made of their documents; those of version 1 do not say how."""

import math

import numpy as np
import pytest

from unlearnbench.results.score import TABLE_I, Score, table_i
from unlearnbench.results.upgrades import from_version_1, infer_aggregation

rng = np.random.default_rng(3)


def numbered(values) -> dict[str, float]:
    return {str(i): float(value) for i, value in enumerate(values)}


def test_a_mean_has_the_standard_error_of_one() -> None:
    values = rng.random(50)
    score = Score.of(numbered(values), higher_is_better=False, outputs={"0": "yes"})
    assert score.value == pytest.approx(values.mean(), rel=1e-15)
    assert score.stderr == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    assert (score.n, score.aggregation, score.outputs) == (50, "mean", {"0": "yes"})
    assert score.documents == numbered(values)
    assert Score.of({"a": 2.0}, higher_is_better=True).stderr is None


def test_an_exponential_has_the_standard_error_of_a_transformed_mean() -> None:
    draws = 2 + 0.05 * np.random.default_rng(0).standard_normal((4000, 30))
    spread = np.exp(draws.mean(1)).std()
    scores = [exponential(values) for values in draws[:200]]
    assert np.mean([score.stderr for score in scores]) == pytest.approx(spread, rel=0.05)
    assert scores[0].value == pytest.approx(np.exp(draws[0].mean()))
    assert exponential([1.0]).stderr is None


def exponential(values) -> Score:
    return Score.of(numbered(values), higher_is_better=False, aggregation="exp_mean")


def test_what_is_not_finite_stays_so() -> None:
    assert exponential([1e4, 1e4]).value == math.inf
    assert exponential([math.inf, 1.0]).value == math.inf
    assert exponential([math.inf, 1.0]).stderr is None
    assert math.isnan(exponential([math.nan, 1.0]).value)
    assert math.isnan(Score.of(numbered([math.nan, 1.0]), higher_is_better=True).value)


@pytest.mark.parametrize("aggregation", ["mean", "exp_mean"])
def test_no_documents_make_no_score(aggregation) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Score.of({}, higher_is_better=True, aggregation=aggregation)


def test_scores_of_unequal_size_weigh_the_same() -> None:
    small = Score(value=0.4, stderr=0.3, n=4, higher_is_better=True, degenerate=True)
    large = Score(value=0.2, stderr=0.4, n=900, higher_is_better=True)
    both = Score.mean_of({"a": small, "b": large})
    assert (both.value, both.stderr, both.n) == pytest.approx((0.3, 0.25, 904))
    assert (both.aggregation, both.parts) == ("mean_of_scores", ["a", "b"])
    assert not both.degenerate
    large.stderr = None
    assert Score.mean_of({"a": small, "b": large}).stderr is None


def test_table_i_is_in_its_order_and_has_nine_metrics() -> None:
    assert [metric.name for metric in table_i("ma", "el10")] == ["el10", "ma"]
    assert len({metric.name for metric in TABLE_I}) == 9
    assert all(metric.in_score and not metric.task for metric in TABLE_I)


def old(score: Score) -> dict:
    return score.model_dump(exclude={"aggregation", "parts"})


def test_how_a_score_of_version_1_is_made_is_inferred() -> None:
    sets = {name: Score.of(numbered(rng.random(9)), higher_is_better=True) for name in "ab"}
    siblings = {"avg": old(Score.mean_of(sets)), **{n: old(s) for n, s in sets.items()}}
    assert infer_aggregation("avg", siblings["avg"], siblings) == ("mean_of_scores", ("a", "b"))
    assert infer_aggregation("a", siblings["a"], siblings) == ("mean", ())
    nll = old(exponential(rng.gamma(20, 0.12, 25)))
    assert infer_aggregation("ppl", nll, {"ppl": nll}) == ("exp_mean", ())
    assert infer_aggregation("ppl", old(exponential([1e4] * 9)), {}) == ("exp_mean", ())
    strange = {**siblings["avg"], "value": 0.123}
    assert infer_aggregation("avg", strange, siblings) == ("mean", ())
    assert infer_aggregation("a", {**siblings["a"], "value": 7.0}, siblings) == ("mean", ())


def test_a_result_of_version_1_is_completed() -> None:
    bertscore = old(Score.of({"7": 0.5}, higher_is_better=False, outputs={"7": "once"}))
    metrics = [{"name": "bertscore_f1", "task": "forgetting"}, {"name": "x", "task": "mine"}]
    result = {
        "schema_version": 1,
        "model": {"name": "opt-125m"},
        "metrics": metrics,
        "scores": {"forgetting": {"bertscore_f1": bertscore}, "mine": {}},
    }
    found = from_version_1(result)
    assert (found["schema_version"], found["model"]["is_synthetic"]) == (2, False)
    assert found["continuations"] == {"7": "once"}
    assert [metric["documents"] for metric in found["metrics"]] == ["rows", "sets"]
    score = found["scores"]["forgetting"]["bertscore_f1"]
    assert (score["aggregation"], score["parts"]) == ("mean", [])
    assert "outputs" not in score
    assert bertscore["outputs"] == {"7": "once"}  # what was handed in is as it was
