"""The judge against a server that answers, fails, stalls, rate-limits, hangs up and talks junk."""

import gzip
import json
import signal
import threading
import time
from pathlib import Path

import pytest
from fault_cases import forked_cli
from judge_fakes import (
    KEY,
    Asked,
    FakeServer,
    Step,
    cell,
    command,
    run_judge,
    save,
    serving,
)

from unlearnbench.ratings.judge.client import STOP_AFTER
from unlearnbench.ratings.judge.replies import JudgeFiles, Reply
from unlearnbench.ratings.judge.rubric import Prompt

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "results", cell("before"), cell("icu"))


def good(asked: Asked, n_before: int) -> Step:
    """The last digit of the doc_id, if all three texts are of one document."""
    documents = {text.split()[-1] for text in (asked.prefix, asked.reference, asked.candidate)}
    assert len(documents) == 1
    return Step(f"It reads well.\nFinal score: {documents.pop()[-1]}")


def replies_in(folder: Path) -> list[Reply]:
    """Every kept reply of every judge."""
    lines = [p.read_text() for p in (folder / "judge").glob("*.jsonl")]
    return [Reply.model_validate_json(line) for text in lines for line in text.split("\n")[:-1]]


def test_every_continuation_is_asked_about_once_and_scored(folder: Path, capsys: Output) -> None:
    with serving(good) as server:
        assert run_judge(folder, server) == 0
        out, err = capsys.readouterr()
        assert len(server.asked) == 6
        assert set(server.candidates.values()) == {1}
        body = server.asked[0].body
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("fake", 0, 512)
        assert server.asked[0].authorization == f"Bearer {KEY}"
        assert run_judge(folder, server) == 0  # nothing is left to ask
        assert len(server.asked) == 6
    told = [line.split() for line in out.splitlines()]
    assert ["NEO", "+", "ICU", "0", "3.33", "2.03", "3", "0", "0"] in told
    assert "6 continuations of 2 cells, 6 distinct; 0 answered before, 6 to ask: about" in err
    assert "6 scored, 0 unparsable, 0 failed; 600 prompt and 42 completion tokens" in err
    assert "0 to ask: about 0 prompt" in capsys.readouterr().err
    reply = replies_in(folder)[0]
    assert reply.reply.startswith("It reads well.\nFinal score: ")
    assert (reply.prompt_tokens, reply.completion_tokens) == (100, 7)
    assert (reply.served_model, reply.finish_reason) == ("judge-1", "stop")


def test_a_local_server_needs_no_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(good) as server:
        assert run_judge(folder, server) == 0


def faults(forever: threading.Event) -> dict[str, list[Step]]:
    """By doc_id: what happens to each attempt in turn, the last for ever after."""
    plain = {"Content-Type": "text/html"}
    ok = Step("Final score: 5")
    return {
        "10": [Step(status=500), ok],
        "11": [Step(status=429, headers={"Retry-After": "0.1"}), ok],
        "12": [Step(drop=True), ok],
        "13": [Step(wait=forever), ok],
        "20": [Step(status=500, body=b"<html>oops</html>", headers=plain)],
        "21": [Step(status=429, headers={"Retry-After-Ms": "20"})],
        "22": [Step(drop=True)],
        "23": [Step(wait=forever)],
        "24": [Step(body=b"<html>hello</html>", headers=plain)],
        "25": [Step(body=b'{"choices": []}')],
        "26": [Step(body=b"")],
        "27": [Step(body=b'{"error": {"message": "no"}}')],
        "28": [Step(body=b'{"choices": [{"message": {"content": "\\ud800"}}]}')],
        "29": [Step(status=400, body=b'{"error": {"message": "content filter"}}')],
        "30": [Step(status=503, headers={"Retry-After-Ms": "20"}, body=b"\xff\xfe\x1b[31m")],
        "31": [Step(trickle=True)],
        "40": [Step("")],
        "41": [Step(None)],
        "42": [Step("I would rather not.")],
        "43": [Step("Final score: 7-8")],
        "44": [Step("Final score: 1", finish_reason="length")],
    }  # fmt: skip


def test_every_item_ends_scored_unparsable_or_failed(tmp_path: Path, capsys: Output) -> None:
    forever = threading.Event()
    steps = faults(forever)
    # Answers in between: this server is bad, not gone.
    fine = [str(n) for n in range(100, 140)]
    order = [d for pair in zip(fine, [*steps, *fine], strict=False) for d in pair]
    folder = save(tmp_path, cell("icu", list(dict.fromkeys(order))))

    def script(asked: Asked, n_before: int) -> Step:
        own = steps.get(asked.candidate.split("/")[-1], [Step("Final score: 9")])
        return own[min(n_before, len(own) - 1)]

    with serving(script) as server:
        quick = ("--timeout", "2", "--concurrency", "8")
        assert run_judge(folder, server, *quick) == 1
        err = capsys.readouterr().err
        kept = {r.doc_id: r.score for r in replies_in(folder)}
        assert {d for d, score in kept.items() if score == 5} == {"10", "11", "12", "13"}
        assert {d for d, score in kept.items() if score is None} == {"40", "41", "42", "43", "44"}
        failed = {d for d in steps if 20 <= int(d) <= 31}
        assert not failed & kept.keys()
        assert len(kept) == len(steps) - len(failed) + 40
        assert "44 scored, 5 unparsable, 12 failed" in err
        assert "the reply is no chat completion" in err
        assert "\x1b" not in err
        tries = {c.split("/")[-1]: n for c, n in server.candidates.items()}
        assert {d: tries[d] for d in failed} == {
            d: 2 if d in ("20", "21", "22", "23", "30") else 1 for d in failed
        }
        # The failed ones, and nothing else, are asked again; unparsable ones were paid for.
        server.script, before = good, len(server.asked)
        assert run_judge(folder, server) == 1
        assert {a.candidate.split("/")[-1] for a in server.asked[before:]} == failed
        assert len({r.item for r in replies_in(folder)}) == len(steps) + 40


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_of_everything_stops_at_once(folder: Path, capsys: Output, status: int) -> None:
    body = json.dumps({"error": {"message": f"no such thing, {KEY}", "code": "x"}}).encode()
    with serving(lambda asked, n: Step(status=status, body=body)) as server:
        assert run_judge(folder, server, "--concurrency", "1") == 2
        assert len(server.asked) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"refuses (HTTP status {status}: " in err.splitlines()[-1]
    assert "no such thing, [OPENAI_API_KEY]" in err
    assert not list((folder / "judge").iterdir())


def test_what_was_answered_before_a_refusal_is_kept(folder: Path, capsys: Output) -> None:
    def script(asked: Asked, n_before: int) -> Step:
        served = len(server.asked)
        body = b'{"error": {"message": "no credit", "code": "insufficient_quota"}}'
        return good(asked, 0) if served <= 2 else Step(status=429, body=body)

    with serving(script) as server:
        assert run_judge(folder, server, "--concurrency", "1") == 2
        assert "the 2 replies that came are kept" in capsys.readouterr().err
        server.script = good
        assert run_judge(folder, server) == 0
        assert len(replies_in(folder)) == 6


def test_a_server_that_is_gone_is_not_asked_for_ever(tmp_path: Path, capsys: Output) -> None:
    folder = save(tmp_path, cell("icu", [str(i) for i in range(30)]))
    with serving(lambda asked, n: Step(status=500)) as server:
        assert run_judge(folder, server, "--retries", "0", "--concurrency", "2") == 1
        n_asked = len(server.asked)
    assert STOP_AFTER <= n_asked <= STOP_AFTER + 1  # one more was on its way
    err = capsys.readouterr().err
    assert "0 scored, 0 unparsable, 30 failed" in err
    assert f"{30 - n_asked} failed: not asked" in err
    assert f"stopped after {STOP_AFTER} failures in a row, the last: HTTP status 500" in err


def test_nobody_there_is_told(folder: Path, capsys: Output) -> None:
    with serving(good) as server:
        pass
    assert run_judge(folder, server, "--retries", "0") == 1
    assert "6 failed: connection failed: ConnectError" in capsys.readouterr().err


def test_as_many_questions_at_a_time_as_asked_for(tmp_path: Path) -> None:
    folder = save(tmp_path, cell("icu", [str(i) for i in range(12)]))
    together = threading.Barrier(3, timeout=30)

    def script(asked: Asked, n_before: int) -> Step:
        together.wait()  # breaks unless three requests are here at once
        return good(asked, n_before)

    with serving(script) as server:
        assert run_judge(folder, server, "--concurrency", "3", "--timeout", "60") == 0
        assert server.most_running == 3


def test_a_killed_run_goes_on_without_paying_twice(tmp_path: Path) -> None:
    folder = save(tmp_path, cell("icu", [str(i) for i in range(20)]))
    never = threading.Event()

    def script(asked: Asked, n_before: int) -> Step:
        return good(asked, 0) if len(server.candidates) <= 7 else Step(wait=never)

    with serving(script) as server:
        run = forked_cli(tmp_path / "told", *command(folder, server, "--timeout", "300"))
        _wait_for(lambda: len(server.candidates) > 7 and _count_lines(folder) == 7)
        run.signal(signal.SIGKILL)
        run.wait()
        answered = {r.item for r in replies_in(folder)}
        assert len(answered) == 7
        (path,) = (folder / "judge").glob("*.jsonl")
        with path.open("ab") as file:
            file.write(b'{"item": "half')  # as if it had died a moment later
        server.script, before = good, len(server.asked)
        assert run_judge(folder, server) == 0
        assert len(server.asked) - before == 13
        assert len(replies_in(folder)) == 20


def test_an_interrupted_run_exits_130(folder: Path, tmp_path: Path) -> None:
    with serving(lambda asked, n: Step(wait=threading.Event())) as server:
        run = forked_cli(tmp_path / "told", *command(folder, server, "--timeout", "300"))
        _wait_for(lambda: bool(server.asked))
        run.signal(signal.SIGINT)
        ended = run.wait(60)
    assert ended.status == 130
    assert "run the same command to go on" in ended.err
    assert "Traceback" not in ended.err


def test_the_key_is_in_no_file_and_no_output(folder: Path, capfd: Output) -> None:
    def script(asked: Asked, n_before: int) -> Step:
        echo = json.dumps({"error": {"message": f"bad {asked.authorization}"}}).encode()
        return [
            Step(f"Your key is {KEY}. Final score: 3"),
            Step(status=400, body=echo),
            Step(status=500, body=echo),
            Step(body=b"x" * 290 + KEY.encode()),  # a message cut in the middle of the key
            Step(body=echo),
            Step(status=400, body=echo, headers={"X-Key": KEY}),
        ][len(server.candidates) - 1]

    with serving(script) as server:
        assert run_judge(folder, server, "--concurrency", "1") == 1
        run_judge(folder, server, "--dry-run")
    out, err = capfd.readouterr()
    assert "Your key is [OPENAI_API_KEY]. Final score: 3" in [r.reply for r in replies_in(folder)]
    assert "bad Bearer [OPENAI_API_KEY]" in err
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    contents = [
        (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        for path, content in files.items()
    ]
    assert len(contents) > 3
    assert not any(part in text for text in (*contents, out, err) for part in (KEY, KEY[:9]))


def test_the_newer_name_of_the_token_limit_is_found(folder: Path) -> None:
    def script(asked: Asked, n_before: int) -> Step:
        if "max_tokens" in asked.body:
            text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Step(status=400, body=json.dumps({"error": {"message": text}}).encode())
        return good(asked, n_before)

    with serving(script) as server:
        assert run_judge(folder, server, "--concurrency", "1", "--max-tokens", "99") == 0
        assert len(server.asked) == 7
        assert server.asked[-1].body["max_completion_tokens"] == 99


def test_a_longer_limit_asks_again_only_what_was_cut_off(folder: Path) -> None:
    def short(asked: Asked, n_before: int) -> Step:
        cut = asked.candidate.endswith("/7")
        return Step("Well,", finish_reason="length") if cut else good(asked, n_before)

    with serving(short) as server:
        assert run_judge(folder, server, "--max-tokens", "16") == 1
        server.script = good
        assert run_judge(folder, server, "--max-tokens", "16") == 1
        assert len(server.asked) == 6
        assert run_judge(folder, server, "--max-tokens", "64") == 0
        assert len(server.asked) == 8


def test_another_wording_never_mixes_with_old_scores(
    folder: Path, tmp_path: Path, capsys: Output
) -> None:
    wording = tmp_path / "wording.txt"
    texts = "PREFIX: {prefix}\nREFERENCE: {reference}\nCANDIDATE: {candidate}\n"
    wording.write_text(texts)
    with serving(good) as server:
        assert run_judge(folder, server, "--limit", "1") == 0
        assert run_judge(folder, server, "--prompt-file", str(wording)) == 0
        assert len(server.asked) == 8
    judges = JudgeFiles(folder).judges().values()
    assert {judge.prompt for judge in judges} == {texts, Prompt().text}
    assert sorted(len(JudgeFiles(folder).load(judge)) for judge in judges) == [2, 6]


def test_a_dry_run_asks_nothing_and_leaves_nothing(folder: Path, capsys: Output) -> None:
    with serving(good) as server:
        assert run_judge(folder, server, "--dry-run", "--limit", "2", "--methods", "icu") == 0
        assert not server.asked
    told = capsys.readouterr().out
    assert "2 continuations of 1 cells, 2 distinct; 0 answered before, 2 to ask" in told
    assert "at most 1,024 completion tokens" in told
    assert not (folder / "judge").exists()


def test_cells_that_cannot_be_judged_are_named(tmp_path: Path, capsys: Output) -> None:
    old = cell("kl")
    old.continuations.clear()
    folder = save(tmp_path, cell("icu"), old)
    with serving(good) as server:
        assert run_judge(folder, server) == 0
        err = capsys.readouterr().err
        assert f"not judged: NEO + KL, forget set 0 (cell {old.key[:12]}): it holds no" in err
        folder = save(tmp_path / "old", old)
        assert run_judge(folder, server) == 2
    assert "measure again with the task 'forgetting'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--base-url", ""), "--base-url '' is not text"),
        (("--judge-model", ""), "--judge-model '' is not text"),
        (("--limit", "0"), "--limit '0' is not"),
        (("--timeout", "inf"), "--timeout 'inf' is not a number, above 0"),
        (("--timeout", "nan"), "--timeout 'nan' is not"),
        (("--retries", "-1"), "--retries '-1' is not"),
        (("--methods", "icq"), "did you mean 'icu'?"),
        (("--judge-model", f"x-{KEY}"), "--judge-model holds the value of OPENAI_API_KEY"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: Output, more: tuple[str, ...], told: str
) -> None:
    assert run_judge(folder, FakeServer(good, url="http://127.0.0.1:9/v1"), *more) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert told in err
    assert KEY not in err


def _count_lines(folder: Path) -> int:
    return sum(p.read_bytes().count(b"\n") for p in (folder / "judge").glob("*.jsonl"))


def _wait_for(condition: object) -> None:
    for _ in range(6000):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    pytest.fail("it did not come to that")
