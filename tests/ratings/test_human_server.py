"""The annotation server: for this machine's own page only, and nothing but the sheet."""

import json
import os
import signal
import subprocess
import sys

import pytest
from server_cases import JSON, ask, first_item, serving
from sheet_cases import cells, make_sheet

from unlearnbench.cli import status_of
from unlearnbench.ratings.human.ratings import read_ratings
from unlearnbench.ratings.human.server import address_of
from unlearnbench.ratings.human.sheet import read_key


@pytest.fixture
def study(tmp_path):
    """The folder of a sheet, its key, and its server."""
    out, key_path = make_sheet(tmp_path, cells())
    with serving(out) as server:
        yield out, key_path, server


def rate(server, item, score, **headers):
    body = json.dumps({"item": item, "score": score})
    return ask(server, "POST", "/rating", body, **{**JSON, **headers})


def test_it_listens_on_the_loopback_address_only(study):
    assert study[2].server_address[0] == "127.0.0.1"


def test_the_study_has_the_texts_and_nothing_of_the_key(study):
    _, key_path, server = study
    status, headers, text = ask(server, "GET", "/study")
    assert status == 200
    shown = json.loads(text)
    assert set(shown["items"][0]) == {"item", "prefix", "reference", "continuation"}
    key = read_key(key_path)
    assert [one["item"] for one in shown["items"]] == list(key.items)
    for entry in key.items.values():
        assert entry.result_key not in text
        assert entry.method not in text
    assert "no-store" in headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [
        "/../study-key.json",
        "/study-key.json",
        "//study-key.json",
        "/%2e%2e/study-key.json",
        "/sheet.csv",
        "/ratings-anna.csv",
        "/server.py",
        "/study/",
    ],
)
def test_nothing_else_is_served(study, path):
    status, _, text = ask(study[2], "GET", path)
    assert status == 404
    assert "result_key" not in text


def test_the_page_may_load_nothing_from_elsewhere(study):
    for path in ("/", "/page.css", "/page.js"):
        status, headers, text = ask(study[2], "GET", path)
        assert status == 200
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "http://" not in text
        assert "https://" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
    ids=str,
)
def test_foreign_pages_are_refused(study, headers):
    out, key_path, server = study
    assert ask(server, "GET", "/study", **headers)[0] == 403
    assert ask(server, "GET", "/", **headers)[0] == 403
    assert rate(server, first_item(key_path), 5, **headers)[0] == 403
    assert not list(out.glob("ratings-*"))


def test_the_page_itself_may_rate_by_either_name_of_the_machine(study):
    out, key_path, server = study
    for n, name in enumerate(("127.0.0.1", "localhost"), start=1):
        host = f"{name}:{server.server_port}"
        item = list(read_key(key_path).items)[n]
        status, _, text = rate(server, item, 5, Host=host, Origin=f"http://{host}")
        assert (status, json.loads(text)) == (200, {"rated": n})
    assert len(read_ratings(out / "ratings-anna.csv")) == 2


@pytest.mark.parametrize("score", [0, 9, -1, 4.5, 5.0, "5", None, True, [5]])
def test_what_is_no_score_is_refused(study, score):
    out, key_path, server = study
    status, _, text = rate(server, first_item(key_path), score)
    assert status == 400
    assert "1-8" in text
    assert not list(out.glob("ratings-*"))


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ('{"item": "nobody", "score": 5}', "application/json", 400),
        ("[1]", "application/json", 400),
        ("{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        ('{"score": 5}', "text/plain", 415),
        ("item=a&score=5", "application/x-www-form-urlencoded", 415),
        ("x" * 1001, "application/json", 413),
    ],
)
def test_what_is_no_rating_is_refused(study, body, kind, status):
    assert ask(study[2], "POST", "/rating", body, Content_Type=kind)[0] == status
    assert not list(study[0].glob("ratings-*"))


def test_a_rating_that_cannot_be_saved_is_not_confirmed(study):
    out, key_path, server = study
    (out / "ratings-anna.csv").write_text("item,score\nabc,99\n")
    status, _, text = rate(server, first_item(key_path), 5)
    assert status == 500
    assert "ratings-anna.csv: row 2" in json.loads(text)["error"]
    assert (out / "ratings-anna.csv").read_text() == "item,score\nabc,99\n"


def test_each_annotator_has_a_file_of_their_own(study):
    out, key_path, server = study
    item = first_item(key_path)
    with serving(out, "ben") as other:
        assert rate(server, item, 3)[0] == rate(other, item, 7)[0] == 200
        assert json.loads(ask(other, "GET", "/study")[2])["ratings"] == {item: 7}
    assert read_ratings(out / "ratings-anna.csv")[item].score == 3


def test_the_address_is_that_of_the_port(study):
    assert address_of(study[2]) == f"http://127.0.0.1:{study[2].server_port}/"


def test_a_taken_port_and_a_missing_sheet_are_one_line(study, tmp_path, capsys):
    out, _, server = study
    assert status_of(["human", "serve", str(out), "--port", str(server.server_port)]) == 2
    assert "--port 0" in capsys.readouterr().err
    assert status_of(["human", "serve", str(tmp_path / "none")]) == 2
    assert "no sheet at" in capsys.readouterr().err


def test_ctrl_c_ends_it_cleanly_and_says_what_is_next(tmp_path):
    out, _ = make_sheet(tmp_path, cells())
    code = "import sys; from unlearnbench.cli.human import human; human(sys.argv[1:])"
    arguments = ["serve", str(out), "--annotator", "anna", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    ratings = out / "ratings-anna.csv"
    last = told.splitlines()[-1]
    assert last == (
        f"unlearnbench: 0 of 20 rated, in {ratings}; next: unlearnbench human score KEY {ratings}"
    )
    assert "Traceback" not in told
