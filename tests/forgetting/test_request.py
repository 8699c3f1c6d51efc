"""What a request says, and what it cannot mean."""

import pytest
from tiny import cli

from unlearnbench.errors import UserError
from unlearnbench.forgetting.request import request_of, seconds, share


def test_times_and_shares() -> None:
    assert (seconds("2h"), seconds("1.5 h"), seconds("30min"), seconds("90s"), seconds(7)) == (
        7200, 5400, 1800, 90, 7)  # fmt: skip
    assert (share("5%"), share("0.05"), share(0.05), share("150%")) == (0.05, 0.05, 0.05, 1.5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: seconds("soon"), "--budget 'soon' is no time; write it as 2h, 30min or 90s"),
        (lambda: seconds("0s"), "no time"),
        (lambda: share("little"), "is no share; write it as 5% or 0.05"),
        (lambda: share("5"), "did you mean 5%?"),
        (lambda: request_of({}, out="o"), "--forget-set secrets.jsonl"),
        (lambda: request_of({"forget_set": "f", "model": ["m"]}, out="o", on="p"), "leave --model"),
        (lambda: request_of({"forget_set": "f", "seeds": "1,2"}, out="o"), "one of --seeds"),
    ],
)
def test_errors_say_what_to_write(call, words: str) -> None:
    with pytest.raises(UserError, match=words.replace("?", r"\?")):
        call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--forget-set", "f.jsonl"], "say where everything is written: --out FOLDER"),
        (["--out", "o", "--forget-set", "nano"], "--model MODEL, or --on FOLDER"),
        (["--out", "o", "--on", "nowhere", "--forget-set", "nano"], "no certificate at"),
        (["--verify", "nowhere"], "no certificate at"),
        (["--out", "o", "--model", "nano-neo", "--forget-set", "nano"], "a request is one: --runs"),
        (
            ["--out", "o", "--model", "nano-neo", "--forget-set", "nano", "--keep", "no.txt"],
            "there is no such file",
        ),
        (
            ["--out", "o", "--model", "nano-neo", "--forget-set", "nano", "--runs", "0",
             "--methods", "gd", "--set", "npo.beta=1"],
            "unknown method of this request 'npo'",
        ),
    ],
)  # fmt: skip
def test_a_bad_command_is_one_line(tmp_path, monkeypatch, options, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = cli("forget", *options)
    assert status == 2
    assert out == ""
    assert words in err
    assert len([line for line in err.splitlines() if "error" in line]) == 1
    assert not (tmp_path / "o").exists()


def test_files_are_found_from_another_folder_and_names_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("other.jsonl", "mine.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "nano").mkdir()
    given = {"forget_set": "f", "pool": "other.jsonl", "plugin": ["mine.py"], "unseen": "hf:a/b",
             "data": "nano"}  # fmt: skip
    assert request_of(given, out="o").options == {
        **given,
        "pool": str(tmp_path / "other.jsonl"),
        "plugin": [str(tmp_path / "mine.py")],
    }
