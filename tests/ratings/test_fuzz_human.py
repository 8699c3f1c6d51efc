"""Whatever comes back from annotators: the scores that were written, or the row named."""

import csv
import http.client
import io
import json
import re
import threading

import pytest
from fuzzing import (
    damaged,
    fuzz,
    is_one_line,
    new_folder,
    no_waiting_for_the_disk,  # noqa: F401 - a fixture
    numbers,
    spoilt,
    texts,
    thorough,
    values,
    written,
)
from hypothesis import strategies as st

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.comparison import read_judge_means
from unlearnbench.ratings.human.ratings import (
    named_files,
    ratings_path,
    read_filled,
    read_ratings,
    save_rating,
)
from unlearnbench.ratings.human.scores import study_scores
from unlearnbench.ratings.human.server import AnnotationStudy, make_server
from unlearnbench.ratings.human.sheet import (
    Item,
    Key,
    KeyItem,
    read_key,
    read_sheet,
    sheet_text,
)
from unlearnbench.ratings.human.studies import stored_studies

IDS = ("bcd", "fgh", "jkl")
KEY = Key(
    sheet="people",
    seed=1,
    items={
        item: KeyItem(
            result_key="r", model="m", method=f"NEO + {n}", method_name="icu", role="method",
            position=n, status="ok", source="s", run="0", seed=1, doc_id=item,
        )
        for n, item in enumerate(IDS)
    },
)  # fmt: skip

KEY_TEXT = KEY.model_dump_json(indent=1) + "\n"

cells = st.sampled_from([
    "1", "8", "4", "3,0", "3.0", "3.00", " 5 ", "0", "9", "-1", "+3", "4.5", "4,5", "1,000",
    "3.000", "1e0", "0x3", "1_0", "0_3", "٣", "３", "³", "½", "three", "nan", "inf", "", " ",
    "8.0000000001", "7/8", "3;4", "=3", "'3", "1E0", "03", "3.", ".3", "∞",
]) | texts | numbers.map(str)  # fmt: skip
# What a person can mean by a cell, written down once more: the score, or None.
MEANT = re.compile(r"\s*\+?0*([1-8])(?:[.,]0{1,2})?\s*")


def check_filled(content: bytes) -> None:
    """What is read stands in the file; all else is named with its row."""
    with new_folder() as folder:
        path = folder / "ratings-anna.csv"
        path.write_bytes(content)
        try:
            found = read_filled("anna", path, IDS)
        except UserError as error:
            assert is_one_line(" ".join(str(error).split()))  # noqa: PT017 - refused, which is good
            assert str(path) in str(error)  # noqa: PT017
            return
        assert {*found.scores} <= {*IDS}
        assert all(type(s) is int and 1 <= s <= 8 for s in found.scores.values())
        told = {problem.item for problem in found.problems}
        assert {*found.scores} | told >= {*IDS}
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1")
        for item, score in found.scores.items():
            assert item in text
            assert str(score) in text
        study_scores(KEY, [found] if not found.is_by_rule else [])


@fuzz(
    160,
    rows=st.lists(st.tuples(st.sampled_from(IDS) | texts, cells, texts), max_size=5),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    code=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    order=st.permutations(range(3)),
)
def test_what_a_spreadsheet_writes_is_read_as_it_was_meant(rows, separator, end, code, order):
    names = ("Item", "score", "note")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerow([names[place] for place in order])
    clean = [tuple(re.sub("[\0\ud800-\udfff\r\n]", "?", cell) for cell in row) for row in rows]
    writer.writerows([[row[place] for place in order] for row in clean])
    with new_folder() as folder:
        path = folder / "a.csv"
        path.write_bytes(text.getvalue().encode(code))
        found = read_filled("a", path, IDS)
    first: dict[str, str] = {}
    for item, score, _ in clean:
        first.setdefault(item.strip(), score)
    meant = {i: MEANT.fullmatch(s) for i, s in first.items() if i in IDS}
    assert found.scores == {item: int(match[1]) for item, match in meant.items() if match}
    named = {problem.item for problem in found.problems}
    assert named >= {*IDS} - {*found.scores}
    twice = {i for i in IDS if [row[0].strip() for row in clean].count(i) > 1}
    assert named >= twice


SHEET = sheet_text([Item(item, "before, it", 'a "word"', "=1\nline") for item in IDS]).encode()
FILLED = SHEET.replace(b'line",', b'line",5')


@fuzz(160, content=damaged(FILLED) | damaged(FILLED.replace(b",", b";")) | damaged(
    FILLED.decode("utf-8-sig").encode("utf-16")) | st.binary(max_size=40))  # fmt: skip
def test_any_bytes_are_ratings_or_named(content):
    try:
        check_filled(content)
    except UnicodeDecodeError as error:  # this test's own reading of half a character
        assert error.encoding.startswith("utf-16")  # noqa: PT017


@fuzz(100, content=damaged(SHEET) | st.binary(max_size=40))
def test_any_bytes_are_a_sheet_or_named(content):
    with new_folder() as folder:
        (folder / "sheet.csv").write_bytes(content)
        try:
            items = read_sheet(folder)
        except UserError as error:
            assert is_one_line(" ".join(str(error).split()))  # noqa: PT017
            assert "sheet.csv" in str(error)  # noqa: PT017
            return
    assert items
    assert len({one.item for one in items}) == len(items)
    assert all(one.item.strip() == one.item != "" for one in items)


RATED = b"\xef\xbb\xbfitem,score,rated_at\r\nbcd,3,2026\r\nfgh,8,2026\r\n"


@fuzz(120, content=damaged(RATED) | st.binary(max_size=30))
def test_a_page_s_ratings_are_kept_whole_or_named(content):
    with new_folder() as folder:
        path = ratings_path(folder, "anna")
        path.write_bytes(content)
        try:
            before = read_ratings(path)
            after = save_rating(path, "jkl", 4)
        except UserError as error:
            assert is_one_line(" ".join(str(error).split()))  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
            assert path.read_bytes() == content
            return
        assert all(1 <= rating.score <= 8 for rating in before.values())
        assert {**before, "jkl": after["jkl"]} == after == read_ratings(path)


@fuzz(120, content=spoilt(json.loads(KEY_TEXT)).map(
    lambda raw: written(raw).encode("utf-8", "surrogatepass"))
    | damaged(KEY_TEXT.encode()) | values.map(lambda v: written(v).encode()))  # fmt: skip
def test_any_file_is_a_key_or_named(content):
    with new_folder() as folder:
        path = folder / "people-key.json"
        path.write_bytes(content)
        (folder / "people").mkdir()
        (folder / "people" / "anna.csv").write_bytes(FILLED)
        studies, warnings = stored_studies(folder)
        try:
            key = read_key(path)
        except UserError as error:
            assert is_one_line(str(error))  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
            assert [w for w in warnings if "study people" in w]
            return
        assert key.key_version == 1
        assert key.items
        for study in studies:
            study_scores(study.key, study.filled)


@fuzz(120, rows=st.lists(st.tuples(texts, texts, cells), max_size=3))
def test_a_judge_s_means_are_0_to_10_or_named(rows):
    text = io.StringIO()
    csv.writer(text).writerows([("model", "method", "score"), *rows])
    with new_folder() as folder:
        path = folder / "j.csv"
        path.write_bytes(text.getvalue().encode("utf-8", "replace"))
        try:
            means = read_judge_means(path)
        except UserError as error:
            assert str(path) in str(error)  # noqa: PT017
            return
    assert all(0 <= mean <= 10 for mean in means.values())
    written_down = [cell.strip().replace(",", ".") for *_, cell in rows]
    assert all(
        mean in [float(c) for c in written_down if c.isascii() and c] for mean in means.values()
    )


@fuzz(60, given=st.lists(texts, max_size=3))
def test_any_names_of_files_are_somebody_s_or_refused(given):
    try:
        files = named_files([text.replace("\0", "") for text in given])
    except UserError as error:
        assert is_one_line(" ".join(str(error).split()))  # noqa: PT017
    else:
        assert len(files) == len(given)
        assert all(name.strip() for name in files)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"item,score\nbcd,3,5\n", "row 2: 3 fields"),
        (b'item,score,note\nbcd,3,"cut o', "unexpected end"),
        (b"item,score,rated_by,rated_by\nbcd,3,a rule,\n", "twice the column 'rated_by'"),
        ("item,score\nbcd,3\n".encode("utf-16")[:-1], "no Unicode text"),
    ],
    ids=["a decimal comma among commas", "cut in a quotation", "a mark twice", "half a character"],
)
def test_a_file_in_which_something_moved_is_refused(tmp_path, content, told):
    path = tmp_path / "anna.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(told)):
        read_filled("anna", path, IDS)


@pytest.mark.parametrize("score", ["1,000", "3.000", "٣", "３", "0_3", "1e0", "0x3"])
def test_a_score_that_could_be_another_number_is_named(tmp_path, score):
    path = tmp_path / "anna.csv"
    path.write_text(f'item,score\nbcd,"{score}"\n', encoding="utf-8")
    found = read_filled("anna", path, ("bcd",))
    assert not found.scores
    assert found.problems[0].what == f"'{score}' is not a number"


def test_a_sheet_in_an_unknown_code_is_not_shown_as_something_else(tmp_path):
    (tmp_path / "sheet.csv").write_bytes(SHEET.replace(b"word", b"caf\xe9"))
    with pytest.raises(UserError, match="no Unicode text"):
        read_sheet(tmp_path)


def test_a_rule_s_ratings_do_not_become_a_person_s(tmp_path):
    path = ratings_path(tmp_path, "anna")
    path.write_text('item,score,rated_by\nbcd,3,"a rule, no person"\n')
    before = path.read_bytes()
    with pytest.raises(UserError, match="a rule gave these scores"):
        save_rating(path, "fgh", 5)
    path.write_text("item,score,note\nbcd,3,unsure\n")
    with pytest.raises(UserError, match="'note', which the page would lose"):
        save_rating(path, "fgh", 5)
    path.write_bytes(before)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"key_version": 2}, "key_version: Input should be 1"),
        ({"items": {}}, "items: .* at least 1 item"),
        ({"seed": "1"}, "seed"),
    ],
)
def test_a_key_with_another_content_is_none(tmp_path, change, told):
    (tmp_path / "k.json").write_text(json.dumps(KEY.model_dump() | change))
    with pytest.raises(UserError, match=f"is no key: .*{told}"):
        read_key(tmp_path / "k.json")


def test_an_item_that_stands_in_the_key_twice_is_named(tmp_path):
    (tmp_path / "k.json").write_text(KEY_TEXT.replace('"fgh": {', '"bcd": {'))
    with pytest.raises(UserError, match="'bcd' stands there twice"):
        read_key(tmp_path / "k.json")


def test_a_link_that_leads_nowhere_is_nobody_s_rating(tmp_path):
    (tmp_path / "people-key.json").write_text(KEY_TEXT)
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "a=b.csv").symlink_to("nowhere")
    (study,), _ = stored_studies(tmp_path)
    (warning,) = study.warnings
    assert "a=b.csv: No such file" in warning


# ---- what a browser, or anybody on this machine, sends to the page

_serving: list = []


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The server of a sheet."""
    folder = tmp_path_factory.mktemp("page")
    sheet = sheet_text(Item(item, "p", "r", "c") for item in IDS)
    (folder / "sheet.csv").write_text(sheet, encoding="utf-8", newline="")
    study = AnnotationStudy.open(folder, "anna")
    server = make_server(study, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    failures: list = []
    server.handle_error = lambda request, address: failures.append(address)
    _serving.append((server, study, failures))
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
    _serving.clear()


def sent(body: bytes, length: str | None = None, path: str = "/rating") -> tuple[int, dict]:
    """The answer to a POST; what fails in the server fails the test."""
    server, _, failures = _serving[0]
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", length if length is not None else str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    assert failures == []
    return answer.status, content


RATING = {"item": "bcd", "score": 3}


@fuzz(100, body=spoilt(RATING).map(lambda raw: written(raw).encode("utf-8", "surrogatepass"))
      | damaged(json.dumps(RATING).encode()) | values.map(lambda v: written(v).encode())
      | st.binary(max_size=30))  # fmt: skip
def check_ratings(body):
    _, study, _ = _serving[0]
    study.ratings.unlink(missing_ok=True)
    status, answer = sent(body)
    kept = {item: one.score for item, one in read_ratings(study.ratings).items()}
    if status == 200:
        raw = json.loads(body)
        assert kept == {raw["item"]: raw["score"]}
        assert raw["item"] in IDS
        assert type(raw["score"]) is int
        assert 1 <= raw["score"] <= 8
        assert body.count(b'"score"') == 1
    else:
        assert status in (400, 413)
        assert kept == {}
        assert answer["error"]


def test_any_body_is_a_rating_or_refused(page):
    check_ratings()


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"[" * 1000, None),
        (b"{", "\xb2"),
        (b"{", "9" * 5000),
        (b"{", "-1"),
        (b"{", ""),
        (b"{", "1_0"),
        (b"\xff\xfe{\x00}\x00", None),
        (b'{"item": "bcd", "score": 3, "score": 8}', None),
    ],
    ids=["nested", "squared", "endless", "negative", "empty", "python's", "UTF-16", "twice"],
)
def test_what_is_no_rating_is_refused(page, body, length):
    assert sent(body, length)[0] in (400, 413)


@pytest.mark.slow
@pytest.mark.parametrize("check", thorough(globals()), ids=lambda one: one.__name__)
def test_many_times(check, page):
    check.thorough()
