"""Which rows of several trainings belong together, and the balanced samples made of their runs."""

import math
from itertools import combinations

import numpy as np
import pytest
import variance_cases as cases
from scipy import stats

from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.variance.components import ALL, ITEM, ITEMS, SEED, TRAINING, mean_squares
from unlearnbench.analysis.variance.estimates import difference, estimate, in_scores
from unlearnbench.analysis.variance.families import (
    check_trainings,
    families_of,
    measured_otherwise,
)
from unlearnbench.analysis.variance.null_pairs import null_pairs
from unlearnbench.analysis.variance.samples import samples_of
from unlearnbench.analysis.variance.statements import firsts_of, order_of, rankings_of
from unlearnbench.errors import UserError

TOLD = (cases.TRAININGS,)


def family(results, told=TOLD):
    """The only family of some results, with the table's columns by name and results by key."""
    table, by_key = build_table(results), {result.key: result for result in results}
    (made,) = families_of(table.groups, by_key, told)
    columns = {column.name: column for column in table.metric_columns}
    return made, columns, by_key


def line(made, label):
    return next(each for each in made.lines if each.label == label)


def test_rows_of_trainings_are_one_line_whatever_the_model_is_called() -> None:
    made, _, _ = family(cases.results())
    assert made.title == "nano-neo, 3 trainings"
    assert [each.label for each in made.lines] == [
        "NEO (before unlearning)", "NEO (retrained)", "NEO + ICU", "NEO + KL",
    ]  # fmt: skip
    assert [row.label for row in line(made, "NEO + KL").rows] == [
        "NEO + KL", "NEO-2 + KL", "NEO-3 + KL",
    ]  # fmt: skip
    assert [each.label for each in made.compared] == ["NEO + ICU", "NEO + KL"]


def test_groups_that_nobody_named_stay_apart() -> None:
    results = cases.results()
    table, by_key = build_table(results), {result.key: result for result in results}
    assert [f.title for f in families_of(table.groups, by_key)] == [*cases.TRAININGS]
    two = families_of(table.groups, by_key, [("nano-neo-3", "nano-neo")])
    assert [[g.name for g in f.groups] for f in two] == [["nano-neo-3", "nano-neo"], ["nano-neo-2"]]


def test_trainings_measured_in_another_way_stay_apart_and_the_report_says_how() -> None:
    results = [
        r.model_copy(update={"protocol_name": "released"}) if r.group == "nano-neo-2" else r
        for r in cases.results()
    ]
    table, by_key = build_table(results), {result.key: result for result in results}
    families = families_of(table.groups, by_key, TOLD)
    assert [[g.name for g in f.groups] for f in families] == [
        ["nano-neo", "nano-neo-3"], ["nano-neo-2"],
    ]  # fmt: skip
    text = measured_otherwise(families, by_key, TOLD)
    assert "nano-neo, nano-neo-3; nano-neo-2 (protocol differ)" in text
    assert measured_otherwise(families_of(table.groups, by_key), by_key, ()) == ""


def test_settings_that_differ_between_trainings_are_named() -> None:
    results = [
        r.model_copy(update={"method": replace_rate(r)})
        if r.group == "nano-neo-3"
        and r.method.name == "icu"
        and r.role == "method"
        and "ICU" in r.label
        else r
        for r in cases.results()
    ]
    made, _, _ = family(results)
    assert {each.label: each.differing for each in made.lines if each.differing} == {
        "NEO + ICU": ("learning_rate",)
    }


def replace_rate(result):
    settings = {**result.method.settings, "learning_rate": 1e-3}
    return result.method.model_copy(update={"settings": settings})


def test_the_sample_is_the_stored_outcomes() -> None:
    results = cases.results()
    made, columns, by_key = family(results)
    sample = samples_of([line(made, "NEO + ICU")], columns["ma"], by_key).samples[0]
    assert sample.runs.shape == (3, 2, 2)
    assert [s.values.shape for s in sample.strata] == [(3, 2, 1, cases.N_ROWS)] * 2
    stored = [
        r.scores["forgetting"]["ma"].value
        for r in results
        if r.label.endswith("ICU") and r.role == "method"
    ]
    assert sample.mean == pytest.approx(100 * np.mean(stored))
    # Every forget set's rows are other documents; the questions are the same for all.
    questions = samples_of([line(made, "NEO + ICU")], columns["cls_avg"], by_key).samples[0]
    assert [s.values.shape for s in questions.strata] == [(3, 2, 2, cases.N_QUESTIONS)] * 2
    means = [row.mean("cls_avg") for row in line(made, "NEO + ICU").rows]
    assert questions.mean == pytest.approx(np.mean(means))


def test_a_perplexity_is_taken_as_its_logarithm() -> None:
    made, columns, by_key = family(cases.results())
    of = estimate(line(made, "NEO + ICU"), columns["pile_ppl"], by_key)
    stored = [
        r.scores["perplexity"]["pile_ppl"].value
        for r in by_key.values()
        if r.label.endswith("+ ICU")
    ]
    assert of.is_log
    assert of.sample.mean == pytest.approx(np.mean(np.log(stored)))
    assert of.printed(of.sample.mean) == pytest.approx(math.exp(np.mean(np.log(stored))))
    low, high = of.ends(ITEMS)
    assert low * high == pytest.approx(of.printed(of.sample.mean) ** 2)


def test_a_reference_without_seeds_stands_beside_every_seed() -> None:
    made, columns, by_key = family(cases.results())
    before = estimate(line(made, "NEO (before unlearning)"), columns["ma"], by_key)
    assert set(before.squares.components) == {TRAINING, ITEM, "training x item"}
    left = difference(line(made, "NEO + KL"), line(made, "NEO (retrained)"), columns["ma"], by_key)
    assert left.squares.n_seeds == 2
    kl, retrained = (
        estimate(line(made, label), columns["ma"], by_key)
        for label in ("NEO + KL", "NEO (retrained)")
    )
    assert left.sample.mean == pytest.approx(kl.sample.mean - retrained.sample.mean)


def test_a_model_that_is_the_same_beside_every_training_was_not_retrained() -> None:
    results = cases.results()
    opt = [cases.one("OPT", group, run, 0.4, role="dedup")
           for group in cases.TRAININGS for run in ("0", "1")]  # fmt: skip
    model = opt[0].model.model_copy(update={"name": "nano-opt"})
    made, columns, by_key = family(
        [*results, *(r.model_copy(update={"model": model}) for r in opt)]
    )
    of = estimate(line(made, "OPT"), columns["ma"], by_key)
    assert of.squares.n_trainings == 1
    assert set(of.squares.components) == {ITEM}


def test_seeds_that_a_training_lacks_are_left_out_of_all() -> None:
    results = cases.results(seeds=(42, 43, 44))
    lost = [r for r in results if not (r.group == "nano-neo-2" and r.seed == 43)]
    made, columns, by_key = family(lost)
    found = samples_of([line(made, "NEO + ICU")], columns["ma"], by_key)
    assert found.samples[0].runs.shape == (3, 2, 2)
    # Of 16 runs 12 are used: seeds 42 and 44.
    assert found.n_left_out == 4
    kept = [r for r in lost if r.seed != 43]
    same, own, their_key = family(kept)
    assert samples_of([line(same, "NEO + ICU")], own["ma"], their_key).samples[0].mean == (
        pytest.approx(found.samples[0].mean)
    )


def test_a_forget_set_that_a_training_lacks_is_left_out() -> None:
    results = cases.results(runs=("0", "1", "2"))
    lost = [r for r in results if not (r.group == "nano-neo" and r.forget_set.run == "2")]
    made, columns, by_key = family(lost)
    found = samples_of([line(made, "NEO + ICU")], columns["ma"], by_key)
    assert found.samples[0].runs.shape == (3, 2, 2)


def test_trainings_with_other_seeds_are_taken_as_they_are() -> None:
    first = cases.results(("nano-neo",), seeds=(1, 2))
    second = cases.results(("nano-neo-2",), seeds=(3, 4))
    made, columns, by_key = family([*first, *second], [("nano-neo", "nano-neo-2")])
    found = samples_of([line(made, "NEO + ICU")], columns["ma"], by_key)
    assert (found.samples[0].n_trainings, found.samples[0].n_seeds) == (2, 2)
    assert found.n_left_out == 0


def test_without_outcomes_by_item_the_runs_values_are_left() -> None:
    results = cases.results()
    for result in results:
        result.scores["forgetting"]["ma"].documents.clear()
    made, columns, by_key = family(results)
    of = estimate(line(made, "NEO + ICU"), columns["ma"], by_key)
    assert set(of.squares.components) == {TRAINING, SEED}
    assert of.squares.reach(ITEMS) is None
    stored = [r.scores["forgetting"]["ma"].value for r in results if r.label.endswith("+ ICU")]
    assert of.sample.mean == pytest.approx(100 * np.mean(stored))


def test_values_that_are_not_finite_have_no_components() -> None:
    results = cases.results()
    next(r for r in results if r.label == "NEO + ICU").scores["perplexity"][
        "pile_ppl"
    ].value = math.inf
    made, columns, by_key = family(results)
    assert estimate(line(made, "NEO + ICU"), columns["pile_ppl"], by_key) is None
    assert estimate(line(made, "NEO + KL"), columns["pile_ppl"], by_key) is not None


def test_a_difference_is_over_what_both_have() -> None:
    made, columns, by_key = family(cases.results())
    icu, kl = line(made, "NEO + ICU"), line(made, "NEO + KL")
    of = difference(icu, kl, columns["ma"], by_key)
    own = [estimate(each, columns["ma"], by_key) for each in (icu, kl)]
    assert of.sample.mean == pytest.approx(own[0].sample.mean - own[1].sample.mean)
    # What both have of an item is no part of the difference.
    assert of.squares.reach(ITEMS) < min(each.squares.reach(ITEMS) for each in own) / 2
    assert of.squares.reach(ALL) == mean_squares(of.sample).reach(ALL)


def test_who_is_better_in_how_many_trainings_is_by_the_tables_values() -> None:
    made, columns, by_key = family(cases.results())
    icu, kl = line(made, "NEO + ICU"), line(made, "NEO + KL")
    for name, better in (("ma", min), ("cls_avg", max), ("pile_ppl", min)):
        values = [[row.mean(name) for row in each.rows] for each in (icu, kl)]
        counted = sum(better(pair) == pair[0] for pair in zip(*values, strict=True))
        assert difference(icu, kl, columns[name], by_key).order.n_better == counted
    assert in_scores(icu, kl, _score("s_z")).order.n_trainings == 3


def _score(name):
    from unlearnbench.analysis.table import S_M, S_Z

    return {"s_z": S_Z, "s_m": S_M}[name]


def test_one_training_says_nothing_of_another() -> None:
    made, columns, by_key = family(cases.results(("nano-neo",)), ())
    assert difference(*made.compared, columns["ma"], by_key).order is None
    assert in_scores(*made.compared, _score("s_z")) is None


def test_the_probability_of_a_new_training_is_the_predictive_one() -> None:
    # Of a normal sample the predictive distribution is exact: the place of a new value in it is
    # uniform, whatever mean and deviation are.
    rng = np.random.default_rng(6)
    places = []
    for _ in range(4000):
        values = 3.0 * rng.normal(size=4)
        # P(new > 0) of the differences to the fourth is P(new > fourth).
        places.append(order_of(values[:3] - values[3]).next_better)
    assert np.quantile(places, [0.05, 0.25, 0.5, 0.75, 0.95]) == pytest.approx(
        [0.05, 0.25, 0.5, 0.75, 0.95], abs=0.025
    )


def test_orders() -> None:
    order = order_of([1.0, 0.0, -2.0])
    assert (order.n_better, order.n_worse, order.n_trainings) == (1, 1, 3)
    assert order_of([1.0]).next_better is None
    assert order_of([1.0, 1.0]).next_better is None  # nothing varies: nothing to go by
    # Student's with two degrees of freedom is 1/2 + t / (2 sqrt(2 + t^2)); here t^2 is 3.
    known = 0.5 + math.sqrt(3 / 5) / 2
    assert order_of([1.0, 2.0, 3.0]).next_better == pytest.approx(known)


def test_who_is_first_in_how_many_trainings_and_seeds() -> None:
    made, columns, by_key = family(cases.results())
    rankings = rankings_of(made, [*columns.values()], by_key)
    assert len(rankings) == 6
    firsts = firsts_of(rankings, columns["ma"], [*columns.values()], 1000.0)
    counted = 0
    for group in cases.TRAININGS:
        for seed in (42, 43):
            of = {
                method: np.mean([
                    r.scores["forgetting"]["ma"].value for r in by_key.values()
                    if r.group == group and r.seed == seed and r.label.endswith(f"+ {method}")
                ])
                for method in ("ICU", "KL")
            }  # fmt: skip
            counted += of["ICU"] < of["KL"]
    assert firsts.n_rankings == 6
    assert firsts.times == {"NEO + ICU": counted, "NEO + KL": 6 - counted}
    assert firsts_of(rankings, _score("s_z"), [*columns.values()], 1000.0).n_rankings == 6


def test_names_that_no_group_has_are_an_error() -> None:
    names = ["nano-neo", "nano-neo-2"]
    check_trainings([names], names)
    with pytest.raises(UserError, match="did you mean 'nano-neo-2'"):
        check_trainings([["nano-neo", "nano-neo-22"]], names)
    with pytest.raises(UserError, match="nano-neo twice"):
        check_trainings([["nano-neo", "nano-neo"]], names)
    with pytest.raises(UserError, match="names one model"):
        check_trainings([["nano-neo"]], names)


def test_null_pairs_are_the_tests_of_every_two_retrained_models() -> None:
    results = cases.results()
    # The same model beside another training is no new one.
    again = [r for r in results if r.role == "retrained" and r.group == "nano-neo"]
    nulls = [
        r.model_copy(update={"role": "null", "group": "nano-neo-2", "key": r.key[::-1]})
        for r in again
    ]
    made, columns, by_key = family([*results, *nulls])
    (of,) = null_pairs(made, [columns["ma"]], by_key)
    assert of.n_pairs == 3
    values = {}
    for group in cases.TRAININGS:
        runs = [r for r in results if r.role == "retrained" and r.group == group]
        values[group] = np.concatenate(
            [list(r.scores["forgetting"]["ma"].documents.values()) for r in runs]
        )
    pairs = [*combinations(values.values(), 2)]
    assert of.n_ks == sum(stats.ks_2samp(*pair).pvalue < 0.05 for pair in pairs)
    flips = [
        stats.permutation_test(pair, _mean_difference, permutation_type="samples", rng=1).pvalue
        for pair in pairs
    ]
    assert of.n_paired == sum(p < 0.05 for p in flips)
    assert of.largest == pytest.approx(100 * max(abs(a.mean() - b.mean()) for a, b in pairs))


def _mean_difference(first, second, axis):
    return np.mean(first, axis=axis) - np.mean(second, axis=axis)
