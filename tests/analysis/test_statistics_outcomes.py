"""What a cell is made of, document by document, and which runs and documents two cells share."""

import numpy as np
import pytest
from statistics_cases import AVERAGE, MA, PILE, numbered, result, score

from unlearnbench.analysis.statistics.outcomes import (
    RunKey,
    common_runs,
    difference,
    matched,
    outcomes_of,
    run_key,
)
from unlearnbench.analysis.table import Column

rng = np.random.default_rng(5)


def test_a_mean_has_its_documents_by_forget_set_though_their_numbers_collide() -> None:
    first, second = rng.random(20), rng.random(20)
    given = [result("A", "0", ma=first), result("A", "1", ma=second)]
    found = outcomes_of(given, MA)
    assert found is not None
    assert [s.values.shape for s in found.strata] == [(1, 20), (1, 20)]
    assert found.n_documents == 40
    assert found.value == pytest.approx(100 * (first.mean() + second.mean()) / 2)


def test_two_seeds_on_one_forget_set_share_its_documents_in_whatever_order() -> None:
    values = rng.random((2, 12))
    shuffled = result("A", seed=2, ma=values[1])
    documents = dict(reversed(shuffled.scores["forgetting"]["ma"].documents.items()))
    shuffled.scores["forgetting"]["ma"].documents = documents
    found = outcomes_of([result("A", seed=1, ma=values[0]), shuffled], MA)
    assert found is not None
    (stratum,) = found.strata
    in_order = [stratum.documents.index(str(i)) for i in range(12)]
    assert np.allclose(stratum.values[:, in_order], values)


def test_the_same_questions_are_shared_by_all_forget_sets() -> None:
    sets = {"copa": rng.random(30), "piqa": rng.random(10)}
    found = outcomes_of([result("A", run, sets=sets) for run in "012"], AVERAGE)
    assert found is not None
    assert [(s.name, s.values.shape) for s in found.strata] == [
        ("copa", (3, 30)), ("piqa", (3, 10)),
    ]  # fmt: skip
    assert found.value == pytest.approx(100 * (sets["copa"].mean() + sets["piqa"].mean()) / 2)


def test_perplexity_is_the_mean_over_runs_of_the_exponential() -> None:
    nll = rng.gamma(20, 0.12, (2, 25))
    found = outcomes_of([result("A", str(r), nll=nll[r]) for r in range(2)], PILE)
    assert found is not None
    assert found.is_exp
    assert found.value == pytest.approx(np.exp(nll.mean(axis=1)).mean())


def test_a_score_that_is_not_made_of_its_documents_has_no_outcomes() -> None:
    made = result("A", ma=rng.random(20))
    made.scores["forgetting"]["ma"].documents.clear()
    assert outcomes_of([made], MA) is None
    made = result("A", sets={"copa": rng.random(20), "piqa": rng.random(30)})
    del made.scores["classification"]["piqa"]
    assert outcomes_of([made], AVERAGE) is None
    mixed = result("A", sets={"copa": rng.random(20), "piqa": rng.random(30)})
    mixed.scores["classification"]["piqa"].aggregation = "exp_mean"
    assert outcomes_of([mixed], AVERAGE) is None
    assert outcomes_of([], MA) is None
    assert outcomes_of([made], Column("gpt", "GPT", True)) is None


def test_runs_that_share_a_part_of_their_documents_have_no_outcomes() -> None:
    one, other = result("A", seed=1, ma=rng.random(20)), result("A", seed=2, ma=rng.random(21))
    assert outcomes_of([one, other], MA) is None


def test_a_run_without_the_metric_or_with_nan_is_left_out_as_in_the_cell() -> None:
    values = rng.random(20)
    lost = result("A", "2", ma=values)
    lost.scores["forgetting"]["ma"].value = float("nan")
    given = [result("A", "0", ma=values), result("A", "1", nll=values), lost]
    found = outcomes_of(given, MA)
    assert found is not None
    assert found.value == pytest.approx(100 * values.mean())


def test_matching_is_by_forget_set_and_seed_and_by_document() -> None:
    a = {run: rng.random(20) for run in "012"}
    b = {run: rng.random(20) for run in "12"}
    first = outcomes_of([result("A", run, ma=v) for run, v in a.items()], MA)
    second = outcomes_of([result("B", run, ma=v) for run, v in b.items()], MA)
    assert first is not None
    assert second is not None
    pair = matched(first, second)
    assert pair is not None
    expected = 100 * np.mean([a[run].mean() - b[run].mean() for run in "12"])
    assert pair[0].value - pair[1].value == pytest.approx(expected)
    assert difference(pair).value == pytest.approx(expected)
    assert difference((pair[1], pair[0])).value == pytest.approx(-expected)


def test_too_little_in_common_is_no_pair() -> None:
    a = outcomes_of([result("A", "0", ma=rng.random(20))], MA)
    other_set = outcomes_of([result("B", "1", ma=rng.random(20))], MA)
    other_seed = outcomes_of([result("B", "0", seed=7, ma=rng.random(20))], MA)
    few = result("B", "0")
    few.scores["forgetting"] = {"ma": score(numbered(rng.random(20), start=11))}
    assert a is not None
    for b in (other_set, other_seed, outcomes_of([few], MA)):
        assert b is not None
        assert matched(a, b) is None
    short = outcomes_of([result("A", nll=rng.random(20))], PILE)
    long = outcomes_of([result("B", nll=rng.random(21))], PILE)
    assert short is not None
    assert long is not None
    assert matched(short, long) is None  # another number of windows: other texts in them


def test_a_reference_row_stands_beside_every_seed() -> None:
    values = rng.random(20)
    method = outcomes_of([result("A", seed=s, ma=values + s) for s in (1, 2)], MA)
    opt = outcomes_of([result("OPT", role="dedup", ma=values)], MA)
    assert method is not None
    assert opt is not None
    pair = matched(opt, method)
    assert pair is not None
    assert pair[0].value - pair[1].value == pytest.approx(-150.0)


def test_another_tokenizers_hash_of_the_same_rows_is_matched_for_references_only() -> None:
    ours, theirs = RunKey("a", 1, "0: 5,6"), RunKey("b", None, "0: 5,6")
    assert ours.matches(theirs)
    assert not ours.matches(RunKey("b", 1, "0: 5,6"))
    assert not ours.matches(RunKey("b", None, "0: 5,7"))
    assert run_key(result("OPT", role="dedup")).seed is None


def test_common_runs_are_those_of_every_row() -> None:
    a = (RunKey("x", 1), RunKey("x", 2), RunKey("y", 1))
    b = (RunKey("y", 1), RunKey("x", 2))
    opt = (RunKey("x", None), RunKey("y", None))
    assert common_runs([opt, a, b]) == [(0, 1, 1), (1, 2, 0)]
    assert common_runs([opt, a, (RunKey("z", 1),)]) == []
