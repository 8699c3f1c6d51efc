"""What counts as a trial, and the number that each comes to."""

import pytest
from budget_cases import FORGET_SET, before, sweep, trial
from golden_results import result as golden_result

from unlearnbench.analysis.budgets.scoring import (
    UTILITY_KEPT,
    Objective,
    default_objective,
    is_share,
    objective_named,
    utility_kept,
)
from unlearnbench.analysis.budgets.trials import budgets_of
from unlearnbench.analysis.derived.score import METRICS
from unlearnbench.analysis.table import Column
from unlearnbench.errors import UserError
from unlearnbench.results.record import ForgetSetRecord
from unlearnbench.results.score import Metric, Score


def test_utility_kept_is_the_ratio_of_perplexities_at_most_one():
    results = [before(), trial("npo", 0.5), trial("npo", 1.25, learning_rate=2e-4)]
    assert [utility_kept(r, results) for r in results[1:]] == [pytest.approx(0.5), 1.0]
    assert utility_kept(results[1], results[1:]) is None  # nothing is known of before
    elsewhere = FORGET_SET.model_copy(update={"run": "0", "content_sha256": "0" * 64})
    assert utility_kept(results[1], [before(elsewhere)]) is None


def test_a_trial_counts_only_where_the_line_was_reached():
    objective, start = Objective(UTILITY_KEPT), before()

    def value(made):
        return objective.value(made, [start, made])

    assert value(trial("npo", 0.5)) == pytest.approx(0.5)
    assert value(trial("npo", 0.9, outcome="not_forgotten")) == 0
    assert value(trial("npo", 0.5, outcome="collapsed")) is None
    assert objective.worst([0.5, 0.7]) == 0
    of_shares = Objective(Column("ma", "MA", False, unit="%", scale=100.0), ("ma",))
    assert of_shares.worst([0.5, 0.7]) == 1


def test_a_score_in_nats_is_no_share_whatever_its_values():
    results = [before(), *(scored(rate * 1e-5, leak=rate / 10) for rate in range(2, 10))]
    (leak,) = budgets_of(results, "leak")[0].methods
    assert leak.interval(1) is None  # nothing says that it ends at 1
    for column in (
        Column("kl_to_retrained", "KL", False, unit="nats"),
        Column(**vars(METRICS["klom_95"])),
    ):
        assert Objective(column, (column.name,)).worst([0.2, 0.9]) == 0.9
    for name in ("ks_distance", "relative_utility", "forget_quality"):
        assert is_share(Column(**vars(METRICS[name])))


def test_trials_are_several_settings_of_one_method_on_the_same_forget_set_and_seed():
    other = ForgetSetRecord(name="x", run="0", content_sha256="0" * 64, doc_ids=["0", "1"])
    results = [
        before(),
        *sweep("npo", [0.2, 0.8, 0.5]),
        *sweep("gd", [0.1, 0.9], seed=43),  # another seed: not beside NPO's
        trial("kumpr", 0.6),  # one configuration is no search
        trial("npo", 0.7, forget_set=other, learning_rate=9e-5),
    ]
    panels = budgets_of(results)
    by_seed = {panel.seeds: panel for panel in panels}
    assert {s: [(m.method, len(m.trials)) for m in p.methods] for s, p in by_seed.items()} == {
        (42,): [("NPO", 3)],
        (43,): [("GD", 2)],
    }
    assert {panel.forget_sets for panel in panels} == {("tuning",)}
    npo = by_seed[42,].methods[0]
    assert npo.curve == pytest.approx([0.5, 0.7, 0.8])
    assert panels[0].objective.is_utility_kept
    assert npo.n_reached == 3


def test_failures_count_as_the_worst_and_are_told():
    results = [before(), *sweep("npo", [0.8, 0.5]), trial("npo", 0.9, outcome="collapsed", beta=2)]
    npo = budgets_of(results)[0].methods[0]
    assert sorted(npo.scores) == pytest.approx([0, 0.5, 0.8])
    assert (npo.n_failed, npo.n_reached) == (1, 2)
    assert sum(trial.point is not None for trial in npo.trials) == 2


def test_the_front_is_over_all_methods_and_the_area_from_the_worst_corner():
    results = [
        before(),
        *sweep("npo", [0.5], ma=0.2),
        *sweep("npo", [0.4], ma=0.6, beta=1.0),
        *sweep("gd", [0.9], ma=0.5),
        *sweep("gd", [0.3], ma=0.9, alpha=2.0, outcome="not_forgotten"),
    ]
    panel = budgets_of(results)[0]
    on = {m.method: [t.is_on_front for t in m.trials] for m in panel.methods}
    assert on == {"NPO": [True, False], "GD": [True, False]}
    npo, gd = sorted(panel.methods, key=lambda own: own.method)[::-1]
    assert npo.hypervolume == pytest.approx(0.8 * 0.5)
    assert gd.hypervolume == pytest.approx(0.5 * 0.9)
    assert panel.hypervolume == pytest.approx(0.5 * 0.9 + 0.3 * 0.5)
    assert panel.plane.reference == (1.0, 0.0)


def test_a_configuration_over_several_runs_is_one_trial_of_means():
    other = ForgetSetRecord(name="x", run="0", content_sha256="0" * 64, doc_ids=["0", "1"])
    results = [before(), before(other)]
    for forget_set, shares in ((FORGET_SET, (0.2, 0.6)), (other, (0.4, 1.0))):
        results += sweep("npo", shares, forget_set=forget_set)
    panel = budgets_of(results)[0]
    assert panel.forget_sets == ("0", "tuning")
    assert sorted(panel.methods[0].scores) == pytest.approx([0.3, 0.8])


def scored(rate: float, **values: float):
    made = golden_result("NPO", method="npo", scores={}, settings={"learning_rate": rate})
    metrics = [Metric(n, n.upper(), higher_is_better=n != "leak", task="t") for n in values]
    scores = {m.name: Score(value=values[m.name], n=1, higher_is_better=m.higher_is_better)
              for m in metrics}  # fmt: skip
    return made.model_copy(update={"metrics": metrics, "scores": {"t": scores}, "key": repr(rate)})


def test_a_score_by_its_name_or_the_harmonic_mean_of_several():
    results = [scored(1e-5, leak=0.8, use=0.9), scored(2e-5, leak=0.5, use=0.5)]
    leak = objective_named("leak", results)
    assert not leak.higher_is_better
    assert leak.value(results[0], results) == 0.8
    both = objective_named("leak,t.use", results)
    assert both.value(results[0], results) == pytest.approx(2 / (1 / 0.2 + 1 / 0.9))
    panel = budgets_of(results, "leak")[0]
    assert panel.methods[0].curve == pytest.approx([0.65, 0.5])  # less is better
    with pytest.raises(UserError, match="did you mean 'leak'"):
        objective_named("leek", results)
    with pytest.raises(UserError, match="no share of 0 to 1"):
        budgets_of([scored(1e-5, use=0.9, size=3.0), scored(2e-5, use=0.9, size=4.0)], "use,size")


def test_without_a_score_that_stands_to_reason_one_must_be_named():
    results = [scored(1e-5, leak=0.8), scored(2e-5, leak=0.5)]
    assert default_objective(results) is None
    with pytest.raises(UserError, match=r"--score NAME \(there are leak\)"):
        budgets_of(results)
    assert budgets_of(results[:1]) == []


def test_weights_stand_beside_the_rate_that_they_were_tuned_with():
    from unlearnbench.analysis.build_table import build_table

    origin = "tuned on forget set x, chosen among 12 random configurations of each method: the rule"
    made = trial("npo", 0.5, alpha=0.25, beta=3.0)
    made.method.origins = {"learning_rate": origin, "alpha": origin, "beta": "--set npo.beta"}
    notes = {note.kind: note.text for note in build_table([made]).notes}
    assert notes["learning_rate"] == f"Learning rates ({origin}): 1e-4 (alpha 0.25)."
