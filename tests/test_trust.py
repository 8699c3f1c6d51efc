"""Secrets are written nowhere, and the annotators' page is for who was told its address."""

import http.client
import json
import shutil
from pathlib import Path

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from server_cases import JSON, ask, first_item
from sheet_cases import cells, make_sheet

from unlearnbench.cli import status_of
from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import check_absent, redact, secret_values
from unlearnbench.ratings.human.server import AnnotationStudy, address_of, make_server

CANARY = "hf_canary-0123456789abcdef"
LEAKY = '''
import os
from dataclasses import dataclass

from unlearnbench.unlearning.method import Method
from unlearnbench.registry import register


@register
@dataclass(kw_only=True)
class Leaky(Method):
    """Tells what it should keep."""

    name = "leaky"
    label = "Leaky"

    def unlearn(self, model, forget_set, examiner):
        raise RuntimeError(f"401 for https://user:pass@host with {os.environ['HF_TOKEN']}")
'''


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("OPENAI_API_KEY", True),
        ("HF_TOKEN", True),
        ("hf_token", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("DB_PASSWORD", True),
        ("SECRETS", True),
        ("KEY_2", True),
        ("WANDBKEY", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("KEYBOARD", False),
        ("HOME", False),
    ],
)
def test_a_secret_is_known_by_its_variable_s_name(name, is_secret):
    known = {name: CANARY, "OTHER": CANARY}
    assert secret_values(known) == ({name: CANARY} if is_secret else {})
    assert redact(f"a {CANARY} b", known) == (f"a [{name}] b" if is_secret else f"a {CANARY} b")


def test_short_values_are_words_and_the_longest_secret_goes_first():
    known = {"A_KEY": "EMPTY", "B_KEY": "12345678", "C_KEY": "1234567890", "D_TOKEN": "  "}
    assert list(secret_values(known)) == ["C_KEY", "B_KEY"]
    assert redact("EMPTY 1234567890 12345678", known) == "EMPTY [C_KEY] [B_KEY]"


def test_passwords_in_addresses_are_struck_out():
    told = redact("see https://user:pass@host/v1?a=b and ssh://me@host, a@b", {})
    assert told == "see https://[password]@host/v1?a=b and ssh://[password]@host, a@b"


_SIGNS = st.characters(codec="ascii", exclude_characters=" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f")


@settings(max_examples=60)
@given(st.text(max_size=20), st.text(_SIGNS, min_size=8, max_size=30), st.text(max_size=20))
def test_nothing_of_a_secret_is_left(before, secret, after):
    known = {"SOME_TOKEN": secret}
    left = redact(f"{before}{secret}{after}", known)
    rest = before + after
    assert secret.strip() not in left or secret.strip() in "[SOME_TOKEN][password]://@" + rest
    assert redact("nothing here", known) in ("nothing here", "[SOME_TOKEN]")


def test_options_that_hold_a_secret_are_refused_without_repeating_it():
    known = {"HF_TOKEN": CANARY}
    check_absent({"--set": ["icu.alpha=0.1"], "--model": ["a/b"]}, known)
    for text in (f"icu.alpha={CANARY}", "ray://me:word@host:1"):
        with pytest.raises(UserError, match="--set holds") as caught:
            check_absent({"--set": [text]}, known)
        assert CANARY not in str(caught.value)
        assert "word@" not in str(caught.value)


@pytest.fixture
def study(tmp_path):
    """The folder of a sheet, its key, and its server under a token."""
    import threading

    out, key_path = make_sheet(tmp_path, cells())
    server = make_server(AnnotationStudy.open(out, "anna"), 0, token="t0ken")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield out, key_path, server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_page_is_there_for_who_knows_its_address(study):
    _, key_path, server = study
    address = address_of(server)
    assert address == f"http://127.0.0.1:{server.server_port}/t0ken/"
    for page in ("", "page.css", "page.js", "study"):
        assert ask(server, "GET", f"/t0ken/{page}")[0] == 200
    body = json.dumps({"item": first_item(key_path), "score": 5})
    assert ask(server, "POST", "/t0ken/rating", body, **JSON)[0] == 200


@pytest.mark.parametrize("start", ["/", "/t0keN/", "/t0ke/", "/t0ken", "//t0ken/", "/x/t0ken/", ""])
def test_other_accounts_of_the_machine_get_nothing(start, study):
    out, key_path, server = study
    body = json.dumps({"item": first_item(key_path), "score": 5})
    for page in ("page.js", "study"):
        status, _, text = ask(server, "GET", start + page)
        # Python's server takes several slashes for one.
        assert status == (200 if start == "//t0ken/" else 404)
        assert start == "//t0ken/" or json.loads(text) == {"error": "there is no such page"}
    if start != "//t0ken/":
        assert ask(server, "POST", f"{start}rating", body, **JSON)[0] == 404
        assert not list(out.glob("ratings-*"))


@pytest.mark.parametrize("name", ["localhost.example", "0.0.0.0", "[::1]", "127.0.0.1.nip.example"])
def test_names_that_lead_here_are_not_ours(name, study):
    server = study[2]
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", "/t0ken/study", headers={"Host": f"{name}:{server.server_port}"})
    assert connection.getresponse().status == 403
    connection.close()


@pytest.mark.parametrize("option", [["--host", "0.0.0.0"], ["--host", "::"], ["--host=localhost"]])
def test_the_page_cannot_be_bound_elsewhere(option, tmp_path, capsys):
    assert status_of(["human", "serve", str(tmp_path), *option]) == 2
    assert "No such option" in capsys.readouterr().err


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        (world.folder / "leaky.py").write_text(LEAKY)
        yield world


def test_a_secret_in_an_error_is_in_no_file_and_no_output(world, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", f"sk-{CANARY}")
    out = tmp_path / "out"
    options = world.options(out, "--plugin", str(world.folder / "leaky.py"), "--jobs", "0",
                            "--references", "none", methods="kumpr,leaky")  # fmt: skip
    assert status_of(options) == 1
    assert status_of(["report", str(out), "-o", f"{tmp_path}/reports/", "--sections", "table"]) == 0
    shown = "".join(capfd.readouterr())
    assert "RuntimeError: 401 for https://[password]@host with [HF_TOKEN]" in shown
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix in (".log", ".json", ".toml")]) > 3
    for text in (shown, *(path.read_bytes().decode(errors="replace") for path in files)):
        assert CANARY not in text
        assert "user:pass" not in text


def test_a_secret_in_an_option_is_refused(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", CANARY)
    options = world.options(tmp_path / "out", "--set", f"kumpr.learning_rate={CANARY}")
    assert status_of(options) == 2
    assert CANARY not in "".join(capsys.readouterr())
    assert not (tmp_path / "out").exists()


def test_damage_elsewhere_is_not_read_into_a_report(tmp_path, capsys):
    """A link among the results leads nowhere: it is named, and nothing behind it is shown."""
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"password": CANARY}))
    folder = Path(shutil.copytree(Path(__file__).parent / "golden", tmp_path / "results" / "cells"))
    for path in folder.iterdir():
        path.unlink()
    (folder / "linked.json").symlink_to(secret)
    assert status_of(["report", str(folder.parent)]) == 2
    told = "".join(capsys.readouterr())
    assert "linked.json" in told
    assert CANARY not in told
