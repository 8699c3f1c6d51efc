"""Reading the nine classification sets from folders and the nano world, and what is refused."""

import csv
import json
from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest
from evaluation_set_cases import FILES, read, rows_of, write

from unlearnbench.data.evaluation_sets import CLASSIFICATION_SETS, DIALOGUE_SETS
from unlearnbench.data.evaluation_sets.reading import read_sets
from unlearnbench.errors import UserError
from unlearnbench.nano import NANO, WORLDS


def test_files_are_found_by_name_anywhere_under_the_folder(tmp_path):
    warnings = []
    found = read(write(tmp_path), warnings=warnings)
    assert list(found) == list(CLASSIFICATION_SETS)
    assert warnings == []
    for name, made in found.items():
        assert made.name == name
        assert made.split == ("test" if name == "lambada" else "validation")
        assert (made.source, made.revision) == (FILES[name].rpartition("/")[2], None)
        assert [row["doc_id"] for row in made.rows] == [str(i) for i in range(6)]


def test_only_the_fields_a_task_needs_are_kept_and_numbers_are_numbers(tmp_path):
    found = read(write(tmp_path))
    row = found["hellaswag"].rows[3]
    assert set(row) == {"doc_id", "activity_label", "ctx_a", "ctx_b", "ctx", "endings", "label"}
    assert row["label"] == 3
    assert row["endings"] == rows_of("hellaswag")[3]["endings"]
    assert found["arc_easy"].rows[2]["choices"]["label"] == ["1", "2", "3", "4"]


def test_the_digest_is_that_of_the_rows_not_of_the_file(tmp_path):
    first = read(write(tmp_path / "a"), ["copa", "piqa"])
    (tmp_path / "b").mkdir()
    with (tmp_path / "b" / "copa_mine.val.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["label", "question", "choice2", "choice1", "premise"])
        table.writeheader()
        table.writerows([{k: r[k] for k in table.fieldnames} for r in rows_of("copa")])
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows_of("piqa")), tmp_path / "b" / "piqa.validation.parquet"
    )
    second = read(tmp_path / "b", ["copa", "piqa"])
    assert {n: s.sha256 for n, s in first.items()} == {n: s.sha256 for n, s in second.items()}
    shorter = read(write(tmp_path / "c", ["copa"], n=5), ["copa"])
    assert shorter["copa"].sha256 != first["copa"].sha256


def test_a_list_in_a_csv_cell_is_json(tmp_path):
    with (tmp_path / "arc_easy.validation.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["question", "choices", "answerKey"])
        table.writeheader()
        for row in rows_of("arc_easy"):
            cells = {"question": row["question"], "answerKey": row["answerKey"]}
            table.writerow({**cells, "choices": json.dumps(row["choices"])})
    write(tmp_path / "jsonl", ["arc_easy"])
    found = read(tmp_path / "jsonl", ["arc_easy"])
    (tmp_path / "jsonl" / FILES["arc_easy"]).unlink()
    assert read(tmp_path, ["arc_easy"])["arc_easy"].rows == found["arc_easy"].rows


def test_another_split_is_taken_with_a_warning_where_the_wanted_one_is_not_there(tmp_path):
    write(tmp_path, ["mathqa", "lambada"])
    (tmp_path / "mathqa.validation.jsonl").rename(tmp_path / "math_qa.test.jsonl")
    (tmp_path / "lambada_openai.test.jsonl").rename(tmp_path / "lambada.validation.jsonl")
    warnings = []
    found = read(tmp_path, ["mathqa", "lambada"], warnings)
    assert (found["mathqa"].split, found["lambada"].split) == ("test", "validation")
    assert "mathqa" in warnings[0]
    assert "no validation split; its test split" in warnings[0]
    assert "no test split; its validation split" in warnings[1]


def test_the_wanted_split_wins_and_a_training_split_is_never_measured(tmp_path):
    write(tmp_path, ["piqa"])
    for split in ("test", "train"):
        (tmp_path / f"piqa.{split}.jsonl").write_text("wrong\n")
    assert read(tmp_path, ["piqa"])["piqa"].source == "piqa.validation.jsonl"
    (tmp_path / "piqa.validation.jsonl").unlink()
    (tmp_path / "piqa.test.jsonl").unlink()
    assert read(tmp_path, ["piqa"]) == {}


def test_absent_sets_are_left_out_with_one_warning(tmp_path):
    warnings = []
    found = read(write(tmp_path, ["copa"]), warnings=warnings)
    assert list(found) == ["copa"]
    assert len(warnings) == 1
    assert all(name in warnings[0] for name in CLASSIFICATION_SETS if name != "copa")
    assert "docs/classification.md" in warnings[0]
    read(tmp_path, warnings=warnings)  # as for a second model
    assert len(warnings) == 1


def test_two_files_for_one_split_are_an_error_that_names_both(tmp_path):
    write(tmp_path, ["winogrande"])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "winogrande_xs.validation.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=r"winogrande_xs\.validation\.csv and .*winogrande_xl"):
        read(tmp_path, ["winogrande"])


def test_a_name_that_says_no_split_is_an_error_that_says_how_to_call_it(tmp_path):
    (tmp_path / "copa.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"which split of copa .* copa\.validation\.jsonl"):
        read(tmp_path, ["copa"])


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no folder at .*nowhere; --data"):
        read(tmp_path / "nowhere")


def test_unknown_names():
    with pytest.raises(UserError, match=r"unknown evaluation set 'hellaswg'.*'hellaswag'"):
        read_sets(["hellaswg"], "hub", {}, [])
    with pytest.raises(UserError, match=r"data-revision 'pica'.*'piqa'"):
        read_sets([], "hub", {"pica": "abc"}, [])


def test_a_revision_is_refused_where_nothing_has_one(tmp_path):
    with pytest.raises(UserError, match="--data-revision is for sets of the hub"):
        read_sets(["copa"], str(write(tmp_path, ["copa"])), {"copa": "abc"}, [])


def test_dialogue_sets_are_json_files_called_by_their_name(tmp_path):
    (tmp_path / "dialogue").mkdir()
    turns = {"4": ["hi", "hello"], "9": ["how are you", "fine", "good"]}
    path = tmp_path / "dialogue" / "blended_skill_talk.json"
    path.write_text(json.dumps({"text": turns}))
    made = read(tmp_path, DIALOGUE_SETS)["blended_skill_talk"]
    assert {row["doc_id"]: row["turns"] for row in made.rows} == turns
    assert (made.split, made.source) == ("validation", "blended_skill_talk.json")
    (tmp_path / "blended_skill_talk.json").write_text(path.read_text())
    with pytest.raises(UserError, match="two files for blended_skill_talk"):
        read(tmp_path, DIALOGUE_SETS)


def test_a_world_s_data_are_a_folder_of_the_same_kind(tmp_path, monkeypatch):
    (tmp_path / "tasks").mkdir()
    write(tmp_path / "tasks", ["copa"])
    world = replace(NANO, name="own", title="one's own world", data=lambda: tmp_path)
    monkeypatch.setitem(WORLDS, "own", world)
    warnings = []
    found = read_sets(["copa", "piqa"], "own", {}, warnings)
    assert {name: made.source for name, made in found.items()} == {"copa": "own"}
    assert "one's own world has no file of them: piqa" in warnings[0]


MISSING = object()
WRONG = {
    "hellaswag": [
        ("endings", ["a", "b", "c"], "at least 4 items"),
        ("endings", "a b c d", "valid list"),
        ("endings", ["a", "b", 3, "d"], "valid string"),
        ("label", "4", "less than or equal to 3"),
        ("label", "-1", "greater than or equal to 0"),
        ("label", "", "valid integer"),
        ("ctx", "  ", "is empty"),
        ("ctx_a", None, "valid string"),
        ("activity_label", MISSING, "is missing"),
    ],
    "lambada": [
        ("text", MISSING, "is missing"),
        ("text", "word", "two words"),
        ("text", "ends on a space ", "two words"),
    ],
    "winogrande": [
        ("sentence", "no gap here", "has no '_'"),
        ("answer", "3", "'1' or '2'"),
        ("answer", "", "'1' or '2'"),
        ("option2", MISSING, "is missing"),
    ],
    "copa": [
        ("question", "why", "'cause' or 'effect'"),
        ("label", 2, "less than or equal to 1"),
        ("label", -1, "greater than or equal to 0"),
        ("premise", "", "is empty"),
    ],
    "arc_easy": [
        ("answerKey", "F", "not among the labels"),
        ("answerKey", MISSING, "is missing"),
        ("choices", ["a", "b"], "valid dictionary"),
        ("choices.label", ["A", "A", "B", "C"], "4 different labels"),
        ("choices.label", ["A", "B"], "4 different labels"),
        ("choices.text", ["one"], "at least 2 items"),
        ("choices.text.1", "", "is empty"),
    ],
    "piqa": [("label", MISSING, "is missing"), ("label", "x", "valid integer")],
    "mathqa": [
        ("correct", "f", "'d' or 'e'"),
        ("options", "a ) 1 , b ) 2 , c ) 3 , d ) 4", "has no option 'e"),
    ],
    "pubmedqa": [
        ("final_decision", MISSING, "is missing"),
        ("final_decision", "Yes", "'no' or 'maybe'"),
        ("CONTEXTS", [], "at least 1 item"),
        ("QUESTION", MISSING, "is missing"),
    ],
}


def spoil(row, field, value):
    """Put a value in place of a field, or of a part of it: 'choices.text.1'."""
    *outer, last = (int(part) if part.isdecimal() else part for part in field.split("."))
    for part in outer:
        row = row[part]
    if value is MISSING:
        del row[last]
    else:
        row[last] = value


@pytest.mark.parametrize(
    ("name", "field", "value", "said"),
    [(name, *case) for name, cases in WRONG.items() for case in cases],
)
def test_wrong_data_name_file_row_and_field(tmp_path, name, field, value, said):
    rows = rows_of(name, 4)
    if name == "arc_easy":
        rows[2] = rows_of(name)[2]  # four choices
    spoil(rows[2], field, value)
    path = tmp_path / FILES[name]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError) as error:
        read(tmp_path, [name])
    message = str(error.value)
    assert f"{path.name}, row 2: field '{field}" in message
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_named(tmp_path, content):
    (tmp_path / "copa.validation.jsonl").write_text(content)
    with pytest.raises(UserError, match=r"copa\.validation\.jsonl has no rows"):
        read(tmp_path, ["copa"])


def test_what_is_not_json_names_its_row(tmp_path):
    path = write(tmp_path, ["copa"]) / FILES["copa"]
    path.write_text(path.read_text() + "{half")
    with pytest.raises(UserError, match=r"copa\.validation\.jsonl, row 6: not JSON"):
        read(tmp_path, ["copa"])


def test_the_real_files_are_in_these_schemas(shared):
    warnings = []
    found = read(shared / "data", CLASSIFICATION_SETS + DIALOGUE_SETS, warnings)
    sizes = {name: len(made.rows) for name, made in found.items()}
    assert sizes == {
        "hellaswag": 1000,
        "lambada": 5153,
        "winogrande": 1267,
        "copa": 100,
        "arc_easy": 570,
        "arc_challenge": 299,
        "piqa": 1838,
        "mathqa": 2985,
        "pubmedqa": 50,
        "wizard_of_wikipedia": 967,
        "empathetic_dialogues": 2758,
        "blended_skill_talk": 1009,
        "wizard_of_internet": 516,
    }
    assert len(warnings) == 2
    assert warnings[0].startswith("mathqa: ")
    assert warnings[1].startswith("lambada: 2 of 5153 rows repeat an earlier one")
