"""Whatever a judge answers, and whatever becomes of its files: a score that was given, or none."""

import json
import re
import unicodedata

import pytest
from fuzzing import (
    damaged,
    fuzz,
    is_one_line,
    new_folder,
    no_waiting_for_the_disk,  # noqa: F401 - a fixture
    spoilt,
    texts,
    thorough,
    values,
    written,
)
from hypothesis import strategies as st

from unlearnbench.errors import UserError
from unlearnbench.ratings.judge.client import Answer, parse_endpoint
from unlearnbench.ratings.judge.replies import Judge, JudgeFiles, Reply
from unlearnbench.ratings.judge.rubric import Prompt, parse_score, read_prompt
from unlearnbench.ratings.judge.scores import JudgeScores, token_counts

# Digits and signs of every script, among words that announce a score.
digits = st.characters(categories=["Nd", "No", "Nl"])
signs = st.characters(categories=["Pd", "Po", "Sm", "Cf", "Mn", "Zs"])
pieces = st.sampled_from([
    "Final score", "Final rating", "score", "Score", ": ", " = ", " is ", " of ", "7", "10", "3.5",
    ".5", "0", "11", "/10", "/", " out of 10", "%", "-", "–", "**", "`", "(", ")", "[", "]", "\n",
    " ", "\\boxed{", "}", "<think>", "</think>", '{"score": ', '"final_score": 8', "```json\n",
    "null", "NaN", "Infinity", "e5", "_", ",", "\u200b", "\u2060", "·", "٫", "⁄", "½",
]) | digits | signs | st.text(max_size=4)  # fmt: skip
replies = st.lists(pieces, max_size=16).map("".join)
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")


def seen(text: str) -> str:
    """A text without the characters that show nothing."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


@fuzz(280, reply=replies, cut_off=st.booleans())
def test_a_score_is_on_the_scale_and_stands_in_the_reply(reply, cut_off):
    score = parse_score(reply, cut_off=cut_off)
    if score is not None:
        assert 0 <= score <= 10
        assert score in [float(found) for found in NUMBER.findall(seen(reply))]


@fuzz(120, number=st.integers(0, 9), sign=digits | st.sampled_from("-‐‑‒–—―⸺⸻﹘﹣－−~〜～…→±·٫⁄،"),
      after=st.text("0123456789", min_size=1, max_size=2))  # fmt: skip
def test_a_number_that_goes_on_in_any_script_is_not_its_beginning(number, sign, after):
    """'7·5', '7–8' and '7٣' are not 7."""
    whole = f"{number}{sign}{after}"
    is_number = whole.isascii() and whole.isdecimal() and float(whole) <= 10
    assert parse_score(f"Final score: {whole}") == (float(whole) if is_number else None)


@pytest.mark.parametrize(
    "reply",
    [f"Final score: 7{sign}5" for sign in (*"·٫⁄∕‐‑‒−，、\u200b\u00ad", " ± ", " → ")]
    + [f"Final score: {text}" for text in ("7٣", "７", "7½", "7٪", "7‰", "1\u200b0\u200b0")],
)  # fmt: skip
def test_signs_of_other_scripts_are_not_overlooked(reply):
    assert parse_score(reply) is None


@fuzz(24, piece=pieces, n=st.integers(1000, 20_000))
def test_no_reply_takes_long(piece, n):
    assert parse_score(f"Final score: {piece * n}") in {None, *map(float, range(11)), 3.5, 0.5}


# ---- the files beside the results

JUDGE = Judge.of("gpt-x", "127.0.0.1:8000/v1", Prompt())
REPLIES = [
    Reply(
        item=f"{n:064x}", cell="c" * 64, doc_id=str(n), reply=f"Final score: {n}",
        finish_reason="stop", max_tokens=512, served_model="gpt-x-2", prompt_tokens=9,
        completion_tokens=2, at="2026-01-01T00:00:00+00:00",
    )
    for n in range(3)
]  # fmt: skip
LINES = [one.model_dump_json() for one in REPLIES]


def kept(folder) -> JudgeFiles:
    """The files of a judge, written by their writer."""
    files = JudgeFiles(folder)
    with files.writing(JUDGE) as keep:
        for reply in REPLIES:
            keep(reply)
    return files


def check_replies(content: bytes) -> None:
    with new_folder() as folder:
        files = kept(folder)
        path = files.replies_path(JUDGE.id)
        path.write_bytes(content)
        try:
            found = files.load(JUDGE)
        except UserError as error:
            assert is_one_line(str(error))  # noqa: PT017 - a refusal is as good as an answer
            assert f"{path}, line " in str(error)  # noqa: PT017
            return
    for reply in found.values():
        assert reply.score is None or 0 <= reply.score <= 10
        assert reply.score == parse_score(reply.reply, cut_off=reply.finish_reason == "length")
        assert re.fullmatch("[0-9a-f]{64}", reply.item)
    counted = sum(reply.prompt_tokens or 0 for reply in found.values())
    assert token_counts(found.values()).startswith(f"{counted:,} prompt and ")
    JudgeScores(JUDGE, found)


@fuzz(100, content=damaged("".join(f"{line}\n" for line in LINES).encode()))
def test_damaged_replies_are_named_by_line(content):
    check_replies(content)


@fuzz(100, raw=spoilt(json.loads(LINES[1])) | values)
def test_a_spoilt_reply_is_named_by_line(raw):
    line = written(raw).encode("utf-8", "surrogatepass")
    check_replies(b"\n".join([LINES[0].encode(), line, LINES[2].encode(), b""]))


@fuzz(100, content=damaged(JUDGE.model_dump_json().encode()) | spoilt(JUDGE.model_dump()).map(
    lambda raw: written(raw).encode("utf-8", "surrogatepass")))  # fmt: skip
def test_a_spoilt_judge_is_named(content):
    with new_folder() as folder:
        files = kept(folder)
        path = files.folder / f"{JUDGE.id}.json"
        path.write_bytes(content)
        try:
            assert files.judges() == {JUDGE.id: JUDGE}
        except UserError as error:
            assert is_one_line(str(error))  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"max_tokens":512', '"max_tokens":"512"', "max_tokens"),
        ('"max_tokens":512', '"max_tokens":512,"max_tokens":1', "twice"),
        ('"prompt_tokens":9', '"prompt_tokens":-9', "prompt_tokens"),
        ('"prompt_tokens":9', '"prompt_tokens":true', "prompt_tokens"),
        ('"doc_id":"1"', '"doc_id":1', "doc_id"),
        ('"doc_id":"1"', '"doc_id":"1","note":"x"', "note"),
        (f'"item":"{1:064x}"', '"item":"1"', "item"),
    ],
)
def test_a_reply_of_another_kind_is_not_taken_for_one(tmp_path, old, new, told):
    files = kept(tmp_path)
    path = files.replies_path(JUDGE.id)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=f"line [12], is damaged: .*{told}"):
        files.load(JUDGE)


# ---- what a server sends, and where it is asked

COMPLETION = {
    "id": "x",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "a", "content": LINES[0]}}
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2},
    "model": "gpt-x-2",
}


@fuzz(160, content=spoilt(COMPLETION).map(lambda raw: written(raw).encode("utf-8", "surrogatepass"))
      | damaged(written(COMPLETION).encode()) | st.binary(max_size=20))  # fmt: skip
def test_what_a_server_sends_is_an_answer_or_none(content):
    try:
        answer = Answer.model_validate_json(content)
    except ValueError:  # pydantic's, which the client tells as 'no chat completion'
        return
    counts = [answer.prompt_tokens, answer.completion_tokens]
    assert all(count is None or (type(count) is int and count >= 0) for count in counts)
    parse_score(answer.message.content or "")


urls = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "", "//", "http:/"]),
    st.sampled_from(["127.0.0.1", "a", "[::1]", "[", "a b", "a\nb", "ä", "a_b", "u:p@a", ""]),
    st.sampled_from(["", ":8000", ":0", ":99999", ":x", ":", ":٣"]),
    st.sampled_from(["", "/", "/v1", "/v1/", "/a b", "/v1?k=x", "/v1#x", "/%zz", "/\0", "/<x>"]),
    texts | st.just("") | st.just("/chat/completions"),
)  # fmt: skip


@fuzz(160, text=urls | texts)
def test_an_address_is_one_that_can_be_asked_or_refused(text):
    import openai

    try:
        endpoint = parse_endpoint(text)
    except UserError as error:
        assert is_one_line(str(error))  # noqa: PT017
        return
    client = openai.OpenAI(api_key="none", base_url=endpoint.url)
    assert str(client.base_url).startswith("http")
    assert client.base_url.host == endpoint.name.split("/")[0].partition(":")[0] or "[" in text
    assert endpoint.name.isprintable()


@fuzz(60, content=st.binary(max_size=40) | damaged(Prompt().text.encode()))
def test_any_wording_has_its_places_or_is_refused(content):
    with new_folder() as folder:
        path = folder / "p.txt"
        path.write_bytes(content)
        try:
            prompt = read_prompt(path)
        except UserError as error:
            assert str(path) in str(error)  # noqa: PT017
            return
        shown = prompt.render("PRE\x00", "REF\x00", "CAN\x00")
        assert all(part in shown for part in ("PRE\x00", "REF\x00", "CAN\x00"))


@pytest.mark.slow
@pytest.mark.parametrize("check", thorough(globals()), ids=lambda one: one.__name__)
def test_many_times(check):
    check.thorough()
