"""Scores of attacks that describe a model stand in its own row, and make up its privacy."""

from typing import Any

import numpy as np
import pytest
from derived_cases import FORGET, measured, rows

from unlearnbench.analysis.attacks.describing import with_descriptions
from unlearnbench.analysis.derived import derive
from unlearnbench.results.record import AttackRecord, PointRecord, Result, attacked_model_in
from unlearnbench.results.score import Metric

UDS = Metric("depth", "UDS", True, decimals=3, in_score=False, documents="rows", task="depth")


def under_attack(of: Result, values: Any, *, describes: bool = True, **changes: Any) -> Result:
    """A result of a model under the attack 'depth'."""
    attack = AttackRecord(
        name="depth", label="UDS", settings={}, model=attacked_model_in(of.identity),
        made_again=False, curve="", describes_model=describes,
        points=[PointRecord(name="depth", label="UDS", position=None)],
    )  # fmt: skip
    made = measured(f"{of.label} attacked", {"depth/depth": {"depth": values}}, **changes)
    return made.model_copy(update={"attack": attack, "metrics": [UDS]})


@pytest.fixture(scope="module")
def of() -> dict[str, Result]:
    return {result.label: result for result in rows()}


@pytest.fixture(scope="module")
def depths() -> dict[str, np.ndarray]:
    middle = np.random.default_rng(5).uniform(0.2, 0.9, FORGET)
    return {"before": np.zeros(FORGET), "retrained": np.ones(FORGET), "unlearned": middle}


def test_it_stands_in_the_models_own_row(of: dict[str, Result], depths: Any) -> None:
    attacked = [under_attack(of[label], depths[label]) for label in of]
    for result in with_descriptions(list(of.values()), attacked):
        score = result.scores["depth"]["depth"]
        assert score.value == pytest.approx(depths[result.label].mean())
        assert len(score.documents) == FORGET
        assert result.metrics == [*of[result.label].metrics, UDS]
        assert not UDS.in_score


def test_privacy_is_the_harmonic_mean_with_it(of: dict[str, Result], depths: Any) -> None:
    attacked = [under_attack(of[label], depths[label]) for label in of]
    derived, notes = derive(with_descriptions(list(of.values()), attacked))
    by_label = {result.label: result.scores["derived"] for result in derived}
    mia, uds = by_label["unlearned"]["mia"].value, float(depths["unlearned"].mean())
    privacy = by_label["unlearned"]["privacy"]
    assert privacy.value == pytest.approx(2 * mia * uds / (mia + uds))
    assert privacy.low < privacy.value < privacy.high
    assert by_label["before"]["privacy"].value == 0
    assert [n.text for n in notes if n.kind == "privacy"] == [
        "Privacy is the harmonic mean of s_MIA and UDS."
    ]


def test_of_a_row_without_it_privacy_is_mia(of: dict[str, Result], depths: Any) -> None:
    results = list(of.values())
    derived, notes = derive(
        with_descriptions(results, [under_attack(of["before"], depths["before"])])
    )
    scores = derived[2].scores["derived"]
    assert scores["privacy"].value == scores["mia"].value
    (text,) = [n.text for n in notes if n.kind == "privacy"]
    assert "without UDS (unlearned) it is s_MIA alone" in text


def test_other_attacks_and_failed_ones_change_nothing(of: dict[str, Result], depths: Any) -> None:
    results = list(of.values())
    assert with_descriptions(results, []) == results
    other = under_attack(of["unlearned"], depths["unlearned"], describes=False)
    failed = under_attack(of["before"], depths["before"], status="failed", error="it broke")
    assert with_descriptions(results, [other, failed]) == results
    assert derive(with_descriptions(results, [other])) == derive(results)


def test_of_several_the_latest_counts(of: dict[str, Result], depths: Any) -> None:
    early = under_attack(of["before"], depths["retrained"], started_at="2025-01-01T00:00:00+00:00")
    late = under_attack(of["before"], depths["unlearned"], started_at="2025-01-02T00:00:00+00:00")
    for order in ([early, late], [late, early]):
        described = with_descriptions([of["before"]], order)[0]
        assert described.scores["depth"]["depth"].value == pytest.approx(depths["unlearned"].mean())
