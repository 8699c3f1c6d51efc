"""Ratings: kept whatever happens, read back from any spreadsheet, every problem named."""

import csv
import threading
from pathlib import Path

import pytest

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.ratings import (
    named_files,
    ratings_path,
    read_filled,
    read_ratings,
    save_rating,
)

ITEMS = ("bcd", "fgh", "jkl")


def filled(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "anna.csv"
    path.write_bytes(content.encode(encoding))
    return read_filled("anna", path, ITEMS)


def told(found):
    return [(p.row, p.item, p.what, p.is_missing) for p in found.problems]


def test_ratings_are_saved_corrected_and_read_back_as_a_sheet(tmp_path):
    path = ratings_path(tmp_path, "anna")
    for item, score in (("fgh", 3), ("bcd", 8), ("fgh", 5)):
        save_rating(path, item, score)
    assert {item: r.score for item, r in read_ratings(path).items()} == {"fgh": 5, "bcd": 8}
    assert read_filled("anna", path, ITEMS).scores == {"fgh": 5, "bcd": 8}
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert [row["item"] for row in csv.DictReader(file)] == ["fgh", "bcd"]


def test_two_tabs_at_once_lose_nothing(tmp_path):
    path = ratings_path(tmp_path, "anna")
    work = [
        threading.Thread(target=save_rating, args=(path, f"item{n}", n % 8 + 1)) for n in range(24)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    expected = {f"item{n}": n % 8 + 1 for n in range(24)}
    assert {item: r.score for item, r in read_ratings(path).items()} == expected


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = ratings_path(tmp_path, "anna")
    save_rating(path, "bcd", 4)
    before = path.read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        save_rating(path, "fgh", 5)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*tmp"))


def test_a_file_in_the_way_of_the_folder_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        save_rating(ratings_path(tmp_path / "file", "anna"), "bcd", 3)


@pytest.mark.parametrize("row", ["bcd,9", "bcd,", "bcd,3\nbcd,4", "bcd,three"])
def test_damaged_ratings_of_the_page_are_told_not_dropped(tmp_path, row):
    path = ratings_path(tmp_path, "anna")
    path.write_text(f"item,score\n{row}\n")
    with pytest.raises(UserError, match=r"row \d: item 'bcd'"):
        save_rating(path, "fgh", 3)
    assert row in path.read_text()


@pytest.mark.parametrize("name", ["", "../anna", "a/b", ".hidden", "a b", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="--annotator"):
        ratings_path(tmp_path, name)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("item,score\nbcd,1\nfgh,8\njkl,4\n", "utf-8"),
        ("item;score\r\nbcd;1\r\nfgh;8\r\njkl;4\r\n", "utf-8-sig"),
        ("Score\tnote\tITEM \n1\tx\tbcd\n8\t\tfgh\n4\ty\tjkl\n", "utf-16"),
        ('"note, too";score;item\n"é; ""so""";1,0;bcd\n;8.0;fgh\n\n;4;jkl\n;;\n', "cp1252"),
        ('item,prefix,score\nbcd,"two\nlines",1\nfgh,=x, 8 \njkl,,4', "utf-8"),
    ],
)
def test_any_spreadsheets_csv_is_read(tmp_path, content, encoding):
    found = filled(tmp_path, content, encoding)
    assert found.scores == {"bcd": 1, "fgh": 8, "jkl": 4}
    assert not found.problems


@pytest.mark.parametrize(
    ("score", "what"),
    [
        ("0", "0 is not in 1-8"),
        ("9", "9 is not in 1-8"),
        ("-1", "-1 is not in 1-8"),
        ("4.5", "4.5 is not a whole number"),
        ("good", "'good' is not a number"),
        ("nan", "'nan' is not a number"),
        ("inf", "'inf' is not a number"),
    ],
)
def test_a_score_that_is_none_is_named_by_row_and_item(tmp_path, score, what):
    found = filled(tmp_path, f'item,text,score\nbcd,"two\nlines",1\nfgh,,{score}\njkl,,4\n')
    assert told(found) == [(3, "fgh", what, False)]
    assert found.scores == {"bcd": 1, "jkl": 4}
    assert str(found.problems[0]) == f"{found.path}: row 3: item fgh: {what}"


def test_all_problems_of_a_file_are_listed(tmp_path):
    found = filled(tmp_path, "item,score\nbcd,3\nxyz,3\nbcd,3\n,5\nfgh,\n")
    assert told(found) == [
        (3, "xyz", "not in the key; is it another study's sheet?", False),
        (4, "bcd", "there already in row 2", False),
        (5, "", "a row without an item id", False),
        (6, "fgh", "no score", True),
        (None, "jkl", "no row", True),
    ]
    assert found.scores == {"bcd": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item,mark\nbcd,1\n", "no column 'score'"),
        ("item,score,Score\nbcd,1,2\n", "twice the column 'score'"),
        ("", "no column 'item'"),
    ],
)
def test_a_file_that_is_no_filled_sheet_is_refused(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        filled(tmp_path, content)


def test_what_the_csv_reader_refuses_is_refused_with_the_file(tmp_path):
    limit = csv.field_size_limit(1000)  # one for the whole process
    try:
        with pytest.raises(UserError, match="is no CSV"):
            filled(tmp_path, "item,score\nbcd," + "x" * 2000)
    finally:
        csv.field_size_limit(limit)


def test_annotators_are_named_by_file_or_by_hand(tmp_path):
    odd = tmp_path / "a=b.csv"
    odd.write_text("")
    given = ["x/ratings-anna.csv", "ben=x/sheet.csv", "carl.csv", str(odd)]
    assert named_files(given) == {
        "anna": Path("x/ratings-anna.csv"),
        "ben": Path("x/sheet.csv"),
        "carl": Path("carl.csv"),
        "a=b": odd,
    }
    with pytest.raises(UserError, match=r"both of 'sheet'.*sheet2="):
        named_files(["a/sheet.csv", "b/sheet.csv"])
