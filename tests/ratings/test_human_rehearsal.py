"""A rehearsal: the same sheet, rated by rules that say so, written once, never among people's."""

import csv
import json
import shutil

import pytest
from rehearsal_cases import cells, language_model, rated_files, rehearse, score
from sheet_cases import make_sheet, saved

from unlearnbench.analysis.build_table import build_table
from unlearnbench.cli import status_of
from unlearnbench.errors import UserError
from unlearnbench.ratings.human.ratings import save_rating
from unlearnbench.ratings.human.rehearsal import RULES, STAND_INS, judge_score, stand_in_judge
from unlearnbench.ratings.human.server import AnnotationStudy
from unlearnbench.ratings.human.sheet import Key, read_key, read_sheet
from unlearnbench.ratings.judge.questions import items_of
from unlearnbench.ratings.judge.replies import JudgeFiles
from unlearnbench.ratings.judge.scores import JudgeScores, judge_note, with_judge_scores

NAMES = [rule.name for rule in RULES]


@pytest.fixture
def results(tmp_path):
    """A results folder with a rehearsal in it."""
    folder = saved(tmp_path / "results", cells())
    assert rehearse(folder) == 0
    return folder


@pytest.fixture
def people(results):
    """A study with people in the same folder, drawn alike, rated by anna: its folder and file."""
    out = results / "human" / "people"
    assert status_of(["human", "sheet", str(results), "--out", str(out), "--rows", "5"]) == 0
    path = out / "ratings-anna.csv"
    for n, item in enumerate(read_sheet(out)):
        save_rating(path, item.item, 1 + n % 8)
    return out, path


def test_the_sheet_is_the_one_that_people_would_get(results, people):
    out = results / "human" / "rehearsal"
    assert (out / "sheet.csv").read_bytes() == (people[0] / "sheet.csv").read_bytes()
    rehearsed, real = (
        read_key(results / "human" / f"{name}-key.json") for name in ("rehearsal", "people")
    )
    assert rehearsed.items == real.items
    assert rehearsed.stand_ins == {rule.name: rule.formula for rule in RULES}
    assert real.stand_ins == {}


def test_every_rule_rates_every_item_by_its_texts(results):
    texts = {item.item: item for item in read_sheet(results / "human" / "rehearsal")}
    assert [path.stem for path in rated_files(results)] == sorted(f"ratings-{n}" for n in NAMES)
    for rule in RULES:
        path = results / "human" / "rehearsal" / f"ratings-{rule.name}.csv"
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
        assert {row["item"]: int(row["score"]) for row in rows} == {
            name: rule.score(item) for name, item in texts.items()
        }
        assert {row["rated_by"] for row in rows} == {"a rule, no person"}


def test_the_rule_in_the_judges_place_scores_every_continuation(results):
    files, judge = JudgeFiles(results), stand_in_judge()
    assert list(files.judges()) == [judge.id]
    scores = JudgeScores(judge, files.load(judge))
    for result in cells():
        items = items_of(result)
        assert scores.by_doc_id(items) == {d: judge_score(item) for d, item in items.items()}


def contents(folder):
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "cells"
    }


def test_the_same_again_changes_nothing_and_fills_what_is_missing(results, tmp_path):
    before = contents(results)
    assert rehearse(results) == 0
    assert contents(results) == before
    for path in (rated_files(results)[1], results / "human" / "rehearsal" / "sheet.csv"):
        path.unlink()
    replies = JudgeFiles(results).replies_path(stand_in_judge().id)
    replies.write_bytes(replies.read_bytes()[:-30])  # killed within a line
    assert rehearse(results) == 0
    found = contents(results)
    assert {p: b for p, b in found.items() if p != replies} == {
        p: b for p, b in before.items() if p != replies
    }
    assert sorted(found[replies].splitlines()) == sorted(before[replies].splitlines())


def test_another_folder_of_the_same_results_gets_the_same_files(results, tmp_path):
    other = saved(tmp_path / "other", reversed(cells()))
    assert rehearse(other) == 0
    found = {path.relative_to(other): text for path, text in contents(other).items()}
    assert found == {path.relative_to(results): text for path, text in contents(results).items()}


@pytest.mark.parametrize("changed", ["rehearsal/ratings-rule-either.csv", "rehearsal-key.json"])
def test_a_file_with_other_content_is_never_overwritten(results, changed, capsys):
    path = results / "human" / changed
    path.write_text("somebody's")
    before = contents(results)
    assert rehearse(results) == 2
    assert f"{path} is there already" in capsys.readouterr().err
    assert contents(results) == before


def test_results_that_have_grown_are_rehearsed_elsewhere(results, capsys):
    saved(results, cells(run="1"))
    assert rehearse(results) == 2
    assert "--out" in capsys.readouterr().err
    assert rehearse(results, "--out", str(results / "human" / "rehearsal-2"), "--run", "0") == 0


def test_a_study_with_people_is_no_place_for_a_rehearsal(people, results, capsys):
    before = contents(results)
    assert rehearse(results, "--out", str(people[0])) == 2
    assert "people-key.json is there already" in capsys.readouterr().err
    assert contents(results) == before


def test_everything_printed_says_that_they_are_stand_ins(results, capsys):
    assert rehearse(results) == 0
    assert STAND_INS in capsys.readouterr().err
    assert STAND_INS in (results / "human" / "rehearsal" / "instructions.md").read_text()
    assert score(results, "--judge", str(results)) == 0
    assert capsys.readouterr().out.startswith(STAND_INS)
    assert score(results, "--json", "--judge", str(results)) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record["stand_ins"]) == set(NAMES)
    assert [one["annotator"] for one in record["annotators"]] == sorted(NAMES)
    assert record["judge"]["over_cells"]["n"] == 4


def test_a_rules_ratings_are_refused_in_a_study_with_people(results, people, capsys):
    _, anna = people
    (rule, *_) = rated_files(results)
    renamed = anna.with_name("ratings-ben.csv")
    shutil.copy(rule, renamed)
    for files in ([anna, rule], [renamed], [f"ben={rule}"]):
        assert score(results, key="people", files=files) == 2
        assert "a rule gave these scores" in capsys.readouterr().err
    bare = anna.with_name("ratings-rule-x.csv")
    shutil.copy(anna, bare)  # no mark, but a rule's name
    assert score(results, key="people", files=[bare]) == 2
    assert "a rule gave these scores" in capsys.readouterr().err
    assert score(results, key="people", files=[anna]) == 0


def test_peoples_ratings_are_refused_in_a_rehearsal(results, people, capsys):
    _, anna = people
    posing = anna.with_name("ratings-rule-either.csv")
    shutil.copy(anna, posing)
    for files in ([*rated_files(results)[:1], anna], [posing]):
        assert score(results, files=files) == 2
        assert "not one of this rehearsal's rules" in capsys.readouterr().err


def test_nobody_rates_a_rehearsal_or_goes_by_a_rules_name(results, people):
    with pytest.raises(UserError, match="is a rehearsal"):
        AnnotationStudy.open(results / "human" / "rehearsal", "anna")
    with pytest.raises(UserError, match="a rule's name"):
        AnnotationStudy.open(people[0], "rule-either")
    assert AnnotationStudy.open(people[0], "anna").n_rated() == 20


def test_people_are_not_compared_with_a_rule_nor_rules_with_a_judge(results, people, capsys):
    _, anna = people
    rule = stand_in_judge().id
    assert score(results, "--judge", str(results), key="people", files=[anna]) == 2
    assert "no judge has scored" in capsys.readouterr().err
    more = ("--judge", str(results), "--judge-id", rule)
    assert score(results, *more, key="people", files=[anna]) == 2
    assert "never set beside each other" in capsys.readouterr().err
    real = language_model(results)
    assert score(results, "--judge", str(results), "--judge-id", real.id) == 2
    assert "never set beside each other" in capsys.readouterr().err
    means = results / "means.csv"
    means.write_text("model,method,score\nm-125,icu,7\n")
    assert score(results, "--judge-csv", str(means)) == 2
    assert "only a rule's scores" in capsys.readouterr().err


def test_with_both_kinds_of_judge_each_study_gets_its_own(results, people, capsys):
    language_model(results)
    assert score(results, "--json", "--judge", str(results), key="people", files=[people[1]]) == 0
    judged = json.loads(capsys.readouterr().out)["judge"]["cells"]
    assert {one["judge"] for one in judged} == {7.0}
    assert score(results, "--json", "--judge", str(results)) == 0
    judged = json.loads(capsys.readouterr().out)["judge"]["cells"]
    assert 7.0 not in {one["judge"] for one in judged}


def test_a_language_model_comes_before_the_rule_in_the_table(results):
    files = JudgeFiles(results)
    assert files.named(None) == stand_in_judge()
    real = language_model(results)
    assert files.named(None) == real
    assert files.named(stand_in_judge().id) == stand_in_judge()


def test_the_rules_column_is_marked_and_counts_in_no_score(results):
    files, judge = JudgeFiles(results), stand_in_judge()
    scores = JudgeScores(judge, files.load(judge))
    table = build_table(with_judge_scores(cells(), scores))
    column = next(c for c in table.columns if c.name == "gpt")
    assert (column.label, column.header[1]) == ("GPT (rule)", "(rule) ↑")
    (group,) = table.groups
    assert all("gpt" in row.cells for row in group.rows)
    assert "gpt" not in (*group.scored, *group.not_scored)
    told = judge_note(cells(), scores).text
    assert "stand-in" in told
    assert "no language model" in told
    assert judge.prompt in told


def test_keys_and_sheets_from_before_rehearsals_are_read(tmp_path, capsys):
    out, key_path = make_sheet(tmp_path, cells())
    old = json.loads(key_path.read_text())
    assert old.pop("stand_ins") == {}
    key_path.write_text(json.dumps(old))
    assert read_key(key_path) == Key.model_validate(old)
    path = out / "ratings-anna.csv"
    path.write_text("\n".join(["item,score", *(f"{item},5" for item in old["items"])]))
    assert status_of(["human", "score", str(key_path), str(path)]) == 0
    shown = capsys.readouterr().out
    assert "5.71" in shown
    assert "tand-in" not in shown
