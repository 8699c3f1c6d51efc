"""The human section: from results to the printed listing, with people, with rules, with neither."""

import json

import numpy as np
import pytest
from rehearsal_cases import cells, language_model, rehearse
from sheet_cases import saved
from study_cases import draw, rate

from unlearnbench import registry
from unlearnbench.ratings.human.rehearsal import JUDGE_FORMULA, RULES, STAND_INS
from unlearnbench.ratings.human.sheet import read_sheet
from unlearnbench.ratings.human.studies import StudyFindings, read_studies
from unlearnbench.ratings.judge.replies import JudgeFiles
from unlearnbench.ratings.judge.scores import JudgeScores, judge_note, with_judge_scores
from unlearnbench.reporting.document import Document, Findings
from unlearnbench.reporting.sections import make_document
from unlearnbench.reporting.sections.human import blocks


def findings(folder, results=None, judge_id=None):
    """What the report command makes of a folder."""
    results, files = results or cells(), JudgeFiles(folder)
    human, judge = read_studies(folder, judge_id), files.named(judge_id)
    if judge is None:
        return Findings(tuple(results), read_human=lambda: human)
    scores = JudgeScores(judge, files.load(judge))
    judged = with_judge_scores(results, scores)
    return Findings(tuple(judged), notes=(judge_note(results, scores),), read_human=lambda: human)


def listing(folder, results=None):
    (found,) = blocks(findings(folder, results))
    return found


def notes(found):
    return {note.kind: note.text for note in found.notes}


@pytest.fixture
def results(tmp_path):
    return saved(tmp_path / "results", cells())


def test_the_whole_path_without_people_or_model(results):
    assert rehearse(results) == 0
    found = listing(results)
    assert found.headers == (
        "Model", "Method", "Human score (rules)", "95% interval", "Judge (rule)", "Documents",
        "Ratings",
    )  # fmt: skip
    assert {row[:2] for row in found.rows} == {("m-125", one.label) for one in cells()}
    assert [row[1] for row in found.rows][:2] == ["NEO (before unlearning)", "OPT"]
    rows = {row[1]: row for row in found.rows}
    rated = read_sheet(results / "human" / "rehearsal")
    icu = [item for item in rated if item.continuation.startswith("nobody")]
    mean = np.mean([10 * (rule.score(item) - 1) / 7 for rule in RULES for item in icu])
    assert rows["NEO + ICU"][2] == f"{mean:.2f}"
    assert rows["NEO + ICU"][5:] == ("5", "10")
    human, judge = ([float(row[n]) for row in found.rows] for n in (2, 4))
    r = float(notes(found)["pearson"].split("means: ")[1].split()[0])
    assert r == pytest.approx(np.corrcoef(human, judge)[0, 1], abs=0.005)
    assert "over 4 (model, method) means" in notes(found)["pearson"]
    assert "Krippendorff's alpha" in notes(found)["agreement"]


def test_a_rehearsal_cannot_be_mistaken_for_a_study(results):
    assert rehearse(results) == 0
    found, told = listing(results), notes(listing(results))
    assert "Rehearsal" in found.title
    assert told["stand_ins"].startswith(STAND_INS)
    assert all(
        rule.name in told["stand_ins"] and rule.formula in told["stand_ins"] for rule in RULES
    )
    assert told["judge"].startswith(STAND_INS)
    assert JUDGE_FORMULA.rstrip(".") in told["judge"]
    assert "says nothing of people" in told["pearson"]
    every = Document("t", (found,), findings(results))
    for name in ("plain", "markdown", "latex", "csv", "json"):
        text = " ".join(registry.find("reports", name)().render(every).split())
        assert "Rehearsal of the human study" in text or "Human score (rules)" in text, name


def test_people_and_a_judge(results):
    out, key = draw(results, "people")
    for offset, name in enumerate(("anna", "ben")):
        rate(out, key, name, offset)
    judge = language_model(results)
    found, told = listing(results), notes(listing(results))
    assert found.title == "Human study"
    assert found.headers[2:5] == ("Human score", "95% interval", "Judge")
    assert {row[4:] for row in found.rows} == {("7.00", "5", "10")}
    assert "stand_ins" not in told
    assert "tand-in" not in " ".join(told.values())
    assert told["judge"] == f"Judge, 0 to 10: gpt-x at example.org/v1 (judge {judge.id})."
    assert "undefined" in told["pearson"]  # this judge gives everything the same
    assert told["agreement"].startswith("Annotators and their ratings: anna 20, ben 20.")
    scores = {cell.method: cell for cell in read_studies(results).scores.cells}
    for row in found.rows:
        cell = scores[row[1]]
        assert row[2:4] == (f"{cell.normalised:.2f}", f"{cell.low:.2f} to {cell.high:.2f}")


def test_people_without_a_judge(results):
    out, key = draw(results, "people")
    rate(out, key, leave=2)
    found, told = listing(results), notes(listing(results))
    assert {row[4] for row in found.rows} == {"–"}
    assert "unlearnbench judge" in told["judge"]
    assert "anna 18 (2 missing)" in told["agreement"]
    assert "pearson" not in told


def test_a_row_that_has_not_forgotten_is_marked(results):
    late = [one.model_copy(update={"status": "not_forgotten"}) if "ICU" in one.label else one
            for one in cells()]  # fmt: skip
    folder = saved(results, late)
    assert rehearse(folder) == 0
    found = listing(folder, late)
    marked = [row[1] for row in found.rows if "†" in row[1]]
    assert marked == ["NEO + ICU †"]
    (note,) = (note for note in found.notes if note.marker == "†")
    assert "epoch limit" in note.text


def test_a_judge_of_some_documents_is_told(results):
    out, key = draw(results, "people")
    rate(out, key)
    language_model(results)
    (path,) = (results / "judge").glob("*.jsonl")
    rated = {one.doc_id for one in key.items.values() if one.method_name == "icu"}
    gone = sorted(rated)[0]
    icu = next(one.key for one in cells() if one.label == "NEO + ICU")
    opt = next(one.key for one in cells() if one.label == "OPT")
    replies = [(json.loads(line), line) for line in path.read_text().splitlines()]
    kept = [s for r, s in replies if r["cell"] != opt and (r["cell"], r["doc_id"]) != (icu, gone)]
    path.write_text("\n".join([*kept, ""]))
    found, told = listing(results), notes(listing(results))
    assert "NEO + ICU (4 of 5)" in told["partly_judged"]
    assert told["unjudged"] == "Rated but not judged, and not in r: m-125: OPT."
    assert next(row for row in found.rows if row[1] == "OPT")[4] == "–"


def test_without_ratings_the_judge_stands_alone_with_what_to_run(results):
    judge = language_model(results)
    found, told = listing(results), notes(listing(results))
    assert found.headers == ("Model", "Method", "GPT", "Documents")
    assert {row[2:] for row in found.rows} == {("7.00", "8")}
    assert len(found.rows) == 4
    assert judge.id in told["judge"]
    for command in ("human sheet", "human serve", "human rehearse"):
        assert f"unlearnbench {command} RESULTS" in told["ratings"]


def test_without_both_the_listing_says_what_to_run(results):
    found, told = listing(results), notes(listing(results))
    assert found.rows == ()
    assert "unlearnbench human rehearse RESULTS" in told["ratings"]
    assert "unlearnbench judge RESULTS" in told["judge"]
    text = registry.find("reports", "plain")().render(Document("t", (found,), findings(results)))
    assert "unlearnbench human rehearse" in " ".join(text.split())


def test_what_was_left_out_is_told(results):
    found = Findings(
        tuple(cells()), read_human=lambda: StudyFindings(warnings=("left out study x: broken",))
    )
    (one,) = blocks(found)
    assert notes(one)["left_out"] == "Left out study x: broken."
    out, key = draw(results, "people")
    rate(out, key)
    (out / "ben.csv").write_text("item,score\nxxx,1\n")
    assert "ben.csv" in notes(listing(results))["left_out"]


def test_cells_of_other_results_are_told(results):
    out, key = draw(results, "people")
    rate(out, key)
    shown = [one for one in cells() if "ICU" not in one.label]
    assert notes(listing(results, shown))["elsewhere"].endswith("m-125, NEO + ICU.")


def test_it_is_a_section_by_name_and_says_that_nano_is_synthetic(results):
    document = make_document(findings(results), ("human",))
    assert [block.name for block in document.blocks] == ["human"]
    nano = [
        one.model_copy(update={"model": one.model.model_copy(update={"is_synthetic": True})})
        for one in cells()
    ]
    folder = saved(results.parent / "nano", nano)
    assert rehearse(folder) == 0
    assert "synthetic" in notes(listing(folder, nano))["synthetic"]
