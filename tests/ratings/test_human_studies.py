"""The studies in a results folder: found by themselves, chosen, damaged ones named."""

import shutil
from statistics import fmean

import numpy as np
import pytest
from rehearsal_cases import cells, language_model, rehearse
from sheet_cases import saved
from study_cases import draw, rate
from study_cases import results as results

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.studies import read_studies
from unlearnbench.results.record import key_of
from unlearnbench.results.store import Store


def test_a_folder_without_studies_has_none(results):
    assert read_studies(results) is None
    (results / "human").mkdir()
    assert read_studies(results) is None


def test_the_ratings_in_the_folder_are_found_and_joined(results):
    out, key = draw(results, "anna-and-ben")
    files = [rate(out, key, "anna"), rate(out, key, "ben", 1)]
    found = read_studies(results)
    assert (found.name, found.is_rehearsal, found.warnings) == ("anna-and-ben", False, ())
    assert [one.annotator for one in found.scores.annotators] == ["anna", "ben"]
    rows = [line.split(",") for path in files for line in path.read_text().splitlines()[1:]]
    icu = [int(s) for item, s, _ in rows if key.items[item].method_name == "icu"]
    (mean,) = (c.mean for c in found.scores.cells if c.method == "NEO + ICU")
    assert mean == pytest.approx(fmean(icu))
    assert (found.judge, found.judge_name) == (None, "")


def test_a_filled_copy_of_the_sheet_counts_and_the_empty_sheet_does_not(results):
    out, key = draw(results, "people")
    rows = (f"{item};5" for item in key.items)
    (out / "carl.csv").write_text("\n".join(["item;score", *rows]))
    found = read_studies(results)
    assert [one.annotator for one in found.scores.annotators] == ["carl"]
    assert found.warnings == ()


def test_the_judge_stands_beside_it(results):
    out, key = draw(results, "people")
    rate(out, key)
    judge = language_model(results)
    found = read_studies(results)
    assert {one.judge for one in found.judge.cells} == {7.0}
    assert found.judge_name == f"gpt-x at example.org/v1 (judge {judge.id})"
    assert read_studies(results, judge_id=judge.id).judge == found.judge
    assert read_studies(results, judge_id="none").judge is None


def test_a_study_goes_with_results_that_an_upgrade_has_renamed(results):
    out, key = draw(results, "people")
    rate(out, key)
    language_model(results)
    before, store = read_studies(results), Store(results)
    for result in store.load_all()[0]:
        identity = {**result.identity, "software": {"harness": "another"}}
        renamed = result.model_copy(update={"identity": identity, "key": key_of(identity)})
        store.replace_older(store.path(result.key), renamed)
    keys = {result.key for result in store.load_all()[0]}
    now = read_studies(results, result_keys=keys)
    assert now.warnings == before.warnings
    assert now.scores == before.scores
    assert now.judge == before.judge
    assert {key for drawn in now.result_keys.values() for key in drawn} <= keys


def test_a_judge_that_cannot_stand_beside_it_is_told(results):
    out, key = draw(results, "people")
    rate(out, key)
    assert rehearse(results) == 0
    found = read_studies(results)
    assert found.judge is None
    assert any("no judge beside study people: no judge has scored" in w for w in found.warnings)
    rule = next((results / "judge").glob("rule-*.json")).stem
    found = read_studies(results, judge_id=rule)
    assert any("never set beside each other" in w for w in found.warnings)
    language_model(results)
    next((results / "cells").glob("*.json")).unlink()
    found = read_studies(results)
    assert found.scores is not None
    assert any("which the sheet was made from: is not there" in w for w in found.warnings)


def test_people_come_before_a_rehearsal_which_is_not_mixed_in(results):
    assert rehearse(results) == 0
    alone = read_studies(results)
    assert (alone.name, alone.is_rehearsal, alone.warnings) == ("rehearsal", True, ())
    assert "no language model" in alone.judge_name
    out, key = draw(results, "people")
    unrated = read_studies(results)
    assert (unrated.name, unrated.is_rehearsal) == ("rehearsal", True)
    assert any("nobody has rated study people yet" in w for w in unrated.warnings)
    rate(out, key)
    found = read_studies(results, judge_id="none")
    assert (found.name, found.is_rehearsal) == ("people", False)
    assert [one.annotator for one in found.scores.annotators] == ["anna"]
    assert found.warnings == ("left out study rehearsal: a rehearsal by rules",)
    assert read_studies(results, study="rehearsal").is_rehearsal


def test_of_several_studies_one_is_named(results):
    for name in ("one", "two"):
        out, key = draw(results, name)
        rate(out, key, name)
    with pytest.raises(UserError, match=r"2 studies .* --study NAME.*: one, two"):
        read_studies(results)
    assert read_studies(results, study="two").name == "two"
    assert read_studies(results, study="none") is None
    with pytest.raises(UserError, match=r"unknown study 'tow' \(did you mean 'two'\?\)"):
        read_studies(results, study="tow")


def test_a_study_that_is_named_and_unrated_says_so(results):
    draw(results, "people")
    for study in ("people", None):
        found = read_studies(results, study=study)
        assert (found.scores, found.name) == (None, "")
        (warning,) = found.warnings
        assert "nobody has rated study people" in warning
        assert str(results / "human" / "people") in warning


def test_scores_still_missing_are_counted(results):
    out, key = draw(results, "people")
    rate(out, key, leave=3)
    (anna,) = read_studies(results).scores.annotators
    assert (anna.n, anna.n_missing) == (17, 3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("item,score\nxxxx,3\n", "not in the key"),
        ("item,score\n{item},9\n", "9 is not in 1-8"),
        ("item,score\n{item},3\n{item},4\n", "there already in row 2"),
        ("item,points\n{item},3\n", "no column 'score'"),
        ("", "no column 'item'"),
    ],
)
def test_damaged_ratings_are_named_and_the_others_count(results, content, told):
    out, key = draw(results, "people")
    rate(out, key)
    (out / "ratings-ben.csv").write_text(content.format(item=next(iter(key.items))))
    found = read_studies(results)
    assert [one.annotator for one in found.scores.annotators] == ["anna"]
    (warning,) = found.warnings
    assert told in warning
    assert "ratings-ben.csv" in warning


def test_a_damaged_study_is_named_and_the_others_count(results):
    out, key = draw(results, "people")
    rate(out, key)
    for name in ("broken", "lost", "bare"):
        draw(results, name)
    human = results / "human"
    (human / "broken-key.json").write_text('{"sheet": ')
    (human / "lost-key.json").unlink()
    shutil.rmtree(human / "bare")
    found = read_studies(results)
    assert found.name == "people"
    for name, told in (("broken", "is no key"), ("lost", "its key is not at"), ("bare", "nobody")):
        (warning,) = (w for w in found.warnings if f"study {name}" in w)
        assert told in warning
    (human / "people" / "anna.csv").write_text("item,score\n")
    found = read_studies(results)
    assert found.scores is None
    assert any("both of 'anna'" in w for w in found.warnings)


def test_rules_among_people_and_people_among_rules_are_left_out(results):
    assert rehearse(results) == 0
    out, key = draw(results, "people")
    anna = rate(out, key)
    rules = results / "human" / "rehearsal"
    shutil.copy(rules / "ratings-rule-either.csv", out / "ratings-ben.csv")
    shutil.copy(anna, rules / "ratings-anna.csv")
    found = read_studies(results, study="people")
    assert [one.annotator for one in found.scores.annotators] == ["anna"]
    assert any("ratings-ben.csv: a rule gave these scores" in w for w in found.warnings)
    found = read_studies(results, study="rehearsal")
    assert all(one.annotator.startswith("rule-") for one in found.scores.annotators)
    assert any("not one of this rehearsal's rules" in w for w in found.warnings)


def test_a_report_of_some_results_gets_what_was_drawn_from_them(results):
    saved(results, cells(model="m-1300"))
    out, key = draw(results, "people")
    rate(out, key)
    every = read_studies(results)
    small = {e.result_key for e in key.items.values() if e.model == "m-125"}
    found = read_studies(results, result_keys=small)
    assert found.scores.cells == [c for c in every.scores.cells if c.model == "m-125"]
    (warning,) = found.warnings
    assert warning.startswith("left out 20 items of study people")
    assert "m-1300, NEO + ICU" in warning
    assert "m-125" not in warning
    assert read_studies(results, result_keys=small | _all(key)).warnings == ()
    none = read_studies(results, result_keys={"other"})
    assert (none.scores, len(none.warnings)) == (None, 1)


def _all(key):
    return {entry.result_key for entry in key.items.values()}


def test_pearson_is_over_the_cells_of_the_study(results):
    out, key = draw(results, "people")
    rate(out, key)
    assert rehearse(results) == 0
    rehearsed = read_studies(results, study="rehearsal")
    cells_of_both = rehearsed.judge.cells
    expected = np.corrcoef([c.human for c in cells_of_both], [c.judge for c in cells_of_both])[0, 1]
    assert rehearsed.judge.over_cells.r == pytest.approx(expected)
    assert rehearsed.judge.over_cells.n == 4
