"""Joining by doc_id, the files of replies, and the GPT column of the reports."""

import csv
import io
import json
import random
from pathlib import Path
from statistics import fmean, stdev

import pytest
from judge_fakes import KEY, cell, save

from unlearnbench.cli import status_of
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import text_sha256
from unlearnbench.ratings.judge.client import (
    Client,
    Endpoint,
    key_from_environment,
    parse_endpoint,
)
from unlearnbench.ratings.judge.questions import Item, items_of, select, why_not
from unlearnbench.ratings.judge.replies import Judge, JudgeFiles, Reply
from unlearnbench.ratings.judge.rubric import PLACEHOLDERS, RUBRIC, Prompt, read_prompt
from unlearnbench.ratings.judge.scores import JudgeScores, judge_note, with_judge_scores
from unlearnbench.results.record import Result

JUDGE = Judge.of("gpt-x", "example.org/v1", Prompt())


def reply(item: Item, text: str, finish_reason: str = "stop", max_tokens: int = 512) -> Reply:
    return Reply(
        item=item.key, cell="c", doc_id="d", reply=text, finish_reason=finish_reason,
        max_tokens=max_tokens,
    )  # fmt: skip


def scored(result: Result, **texts: str) -> JudgeScores:
    """Replies to the items of a result, by doc_id written as d3, d10, ..."""
    items = items_of(result)
    replies = [reply(items[name[1:]], text) for name, text in texts.items()]
    return JudgeScores(JUDGE, {r.item: r for r in replies})


def test_a_continuation_is_judged_with_the_texts_of_its_own_row() -> None:
    for seed in range(10):
        dice = random.Random(seed)

        def shuffled(ids: list[str], dice: random.Random = dice) -> list[str]:
            return dice.sample(ids, len(ids))

        ids = [str(i) for i in range(40)]
        items = items_of(cell("icu", shuffled(ids), order=shuffled))
        assert set(items) == set(ids)
        for d, item in items.items():
            assert item == Item(f"prefix of 0/{d}", f"suffix of 0/{d}", f"icu wrote 0/{d}")


def test_the_order_of_dicts_and_of_replies_changes_no_score() -> None:
    ids = [str(i) for i in range(30)]
    tidy = cell("icu", ids)
    mixed = cell("icu", ids[::-1], order=lambda names: random.Random(1).sample(names, len(names)))
    scores = scored(tidy, **{f"d{d}": f"Final score: {int(d) % 11}" for d in ids})
    backwards = JudgeScores(JUDGE, dict(reversed(scores.replies.items())))
    for result in with_judge_scores([tidy, mixed], backwards):
        documents = result.scores["judge"]["gpt"].documents
        assert documents == {d: int(d) % 11 for d in ids}


def test_the_judges_mean_becomes_the_gpt_metric() -> None:
    result = cell("icu")
    scores = scored(result, d3="Final score: 2", d10="Final score: 8.5", d7="Final score: 9")
    (judged,) = with_judge_scores([result], scores)
    score = judged.scores["judge"]["gpt"]
    assert score.value == pytest.approx(fmean([2, 8.5, 9]))
    assert score.stderr == pytest.approx(stdev([2, 8.5, 9]) / 3**0.5)
    assert (score.n, score.higher_is_better) == (3, True)
    assert score.documents == {"3": 2, "10": 8.5, "7": 9}
    record = judged.metrics[-1]
    assert (record.name, record.task, record.label) == ("gpt", "judge", "GPT")
    assert (record.decimals, record.in_score, record.higher_is_better) == (2, True, True)
    assert "judge" not in result.scores  # the stored result is left alone
    assert with_judge_scores([judged], scores) == [judged]  # joining twice is joining once
    assert Result.model_validate_json(judged.model_dump_json()) == judged


def test_unparsable_replies_are_in_no_mean_but_counted() -> None:
    result = cell("icu")
    scores = scored(result, d3="Final score: 4", d10="I cannot say.")
    (judged,) = with_judge_scores([result], scores)
    assert judged.scores["judge"]["gpt"].value == 4
    assert judged.scores["judge"]["gpt"].stderr is None
    coverage = scores.coverage(items_of(result).values())
    assert (coverage.scored, coverage.unparsable, coverage.unanswered) == (1, 1, 1)
    assert str(coverage) == "1 of 3 (1 unparsable, 1 without an answer)"
    (bare,) = with_judge_scores([result], scored(result, d3="no"))
    assert bare == result


def test_a_cell_without_continuations_says_so() -> None:
    assert why_not(cell("icu")) is None
    assert why_not(cell("icu", status="failed")) == "it failed"
    old = cell("icu")
    old.continuations.clear()
    assert why_not(old) == "it holds no continuations"
    bare = cell("icu")
    del bare.forget_set.suffixes["10"]
    assert why_not(bare) is None
    assert list(items_of(bare)) == [d for d in items_of(cell("icu")) if d != "10"]
    assert items_of(old) == items_of(cell("icu", status="failed")) == {}


def test_questions_go_document_by_document_and_the_same_texts_are_asked_once() -> None:
    icu, kl, twin = cell("icu"), cell("kl"), cell("icu", label="ICU again")
    questions = select([icu, kl, twin]).questions().values()
    assert [q.item.candidate for q in questions] == [
        f"{name} wrote 0/{d}" for d in ("3", "7", "10") for name in ("icu", "kl")
    ]
    assert len(select([icu, kl, twin]).items()) == 9


def test_a_limit_takes_the_same_documents_of_every_row() -> None:
    cells = select([cell("icu"), cell("kl", ("10", "7", "3"))], limit=2).cells
    assert [list(one.items) for one in cells] == [["3", "7"]] * 2


def test_rows_are_chosen_by_name() -> None:
    results = [cell("icu"), cell("before"), cell("icu", run="1")]
    assert len(select(results, methods=["before"]).items()) == 3
    assert len(select(results, methods=["icu"], runs=["1"]).items()) == 3
    with pytest.raises(UserError, match=r"'ica' \(did you mean 'icu'\?\)"):
        select(results, methods=["ica"])
    with pytest.raises(UserError, match="unknown forget set"):
        select(results, runs=["9"])


def test_an_answer_that_a_lower_limit_cut_off_is_asked_for_again() -> None:
    selection = select([cell("icu", ["1", "2", "3"])])
    one, two, three = (q.item for q in selection.questions().values())
    replies = {
        one.key: reply(one, "because", "length", 16),
        two.key: reply(two, "Final score: 4, because", "length", 16),
        three.key: reply(three, "because", "stop", 16),
    }
    assert not selection.open(replies, 16)
    assert list(selection.open(replies, 32)) == [one.key]


def test_replies_come_back_whole(tmp_path: Path) -> None:
    files, item = JudgeFiles(tmp_path), Item("a", "b", "c")
    text = 'Two lines,\na separator \u2028, "quotes" and é.\nFinal score: 3'
    with files.writing(JUDGE) as keep:
        keep(reply(item, text))
        keep(reply(Item("d", "e", "f"), "?"))
        keep(reply(item, text.replace("3", "4")))
    found = files.load(JUDGE)
    assert len(found) == 2
    assert (found[item.key].reply, found[item.key].score) == (text.replace("3", "4"), 4)
    lines = [json.loads(line) for line in files.replies_path(JUDGE.id).read_text().split("\n")[:-1]]
    assert [line["score"] for line in lines] == [3, None, 4]
    assert files.judges() == {JUDGE.id: JUDGE}


@pytest.mark.parametrize("torn", [b'{"item": "ab', b"\0\0\0", b"{"])
def test_a_half_written_last_line_is_tolerated(tmp_path: Path, torn: bytes) -> None:
    files, path = JudgeFiles(tmp_path), JudgeFiles(tmp_path).replies_path(JUDGE.id)
    first, second = Item("a", "b", "c"), Item("d", "e", "f")
    with files.writing(JUDGE) as keep:
        keep(reply(first, "Final score: 1"))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert list(files.load(JUDGE)) == [first.key]
    with files.writing(JUDGE) as keep:
        keep(reply(second, "Final score: 2"))
    assert path.read_bytes().startswith(whole)
    assert list(files.load(JUDGE)) == [first.key, second.key]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    files, path = JudgeFiles(tmp_path), JudgeFiles(tmp_path).replies_path(JUDGE.id)
    with files.writing(JUDGE) as keep:
        keep(reply(Item("a", "b", "c"), "Final score: 1"))
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(UserError, match=r"\.jsonl, line 1, is damaged"):
        files.load(JUDGE)
    json_path = path.with_suffix(".json")
    json_path.write_text(json_path.read_text().replace("gpt-x", "gpt-y"))
    with pytest.raises(UserError, match="edited or renamed"):
        files.judges()


def test_only_one_process_writes(tmp_path: Path) -> None:
    files = JudgeFiles(tmp_path)
    taken = pytest.raises(UserError, match="another `unlearnbench judge`")
    with files.writing(JUDGE), taken, files.writing(JUDGE):
        pass


def test_a_judge_that_never_answered_leaves_nothing(tmp_path: Path) -> None:
    files = JudgeFiles(tmp_path)
    with files.writing(JUDGE):
        pass
    assert not list(files.folder.iterdir())
    assert files.named(None) is None


def test_another_model_wording_or_server_is_another_judge() -> None:
    others = [
        Judge.of("gpt-y", "example.org/v1", Prompt()),
        Judge.of("gpt-x", "example.org:81/v1", Prompt()),
        Judge.of("gpt-x", "example.org/v1", Prompt(RUBRIC + " ")),
    ]
    assert len({JUDGE.id, *(other.id for other in others)}) == 4
    assert Judge.of("gpt-x", "example.org/v1", Prompt()).id == JUDGE.id
    assert Judge.of("../a b/C:d", "e", Prompt()).id.startswith("a-b-c-d-")


def test_our_wording_says_what_the_brief_of_the_judge_needs() -> None:
    assert all(RUBRIC.count(name) == 1 for name in PLACEHOLDERS)
    assert RUBRIC.count("PREFIX: ") == 4  # three examples, then the case
    assert "Final score: N" in RUBRIC
    assert RUBRIC.isascii()


def test_a_placeholder_inside_a_text_is_left_alone() -> None:
    prompt = Prompt("P {prefix} R {reference} C {candidate} {other} {prefix}")
    assert prompt.render("{candidate}", "{x}", "c\\1") == (
        "P {candidate} R {x} C c\\1 {other} {candidate}"
    )
    assert prompt.sha256 == text_sha256(prompt.text)


def test_a_wording_without_all_placeholders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Judge {prefix} and {candidate}.")
    with pytest.raises(UserError, match=r"has no \{reference\}; write all of"):
        read_prompt(tmp_path / "a.txt")
    with pytest.raises(UserError, match="cannot read"):
        read_prompt(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read_prompt(tmp_path / "c.txt")
    assert read_prompt(None).text == RUBRIC


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://API.example.org/v1/", "api.example.org/v1"),
        ("https://api.example.org:443/v1", "api.example.org/v1"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1:8000/v1"),
        ("http://localhost:8000/v1/chat/completions", "localhost:8000/v1"),
    ],
)
def test_scores_are_filed_under_host_port_and_path(url: str, name: str) -> None:
    assert parse_endpoint(url).name == name


@pytest.mark.parametrize(
    "url",
    ["api.example.org/v1", "ftp://a/v1", "http://", "http://a:b/v1", "http://me:secret@a/v1",
     "http://a/v1?key=secret", "http://a/v1#secret"],
)  # fmt: skip
def test_what_is_no_address_or_holds_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UserError, match="--base-url") as caught:
        parse_endpoint(url)
    assert "secret" not in str(caught.value)


def test_the_key_shows_itself_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert key_from_environment() == KEY
    client = Client(Endpoint("http://127.0.0.1:1/v1"), KEY, "m", 1, 0, 9)
    assert KEY not in repr(client)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\nsk-more")
    with pytest.raises(UserError) as caught:
        key_from_environment()
    assert "secret" not in str(caught.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert key_from_environment() == "none"


@pytest.mark.parametrize(
    ("url", "is_private"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("https://a.org/v1", True),
        ("http://a.org/v1", False),
    ],
)
def test_a_key_is_private_on_this_machine_or_encrypted(url: str, is_private: bool) -> None:
    assert Endpoint(url).is_private == is_private


def fill(folder: Path, judge: Judge, results: list[Result], text: str) -> None:
    """Every item of the results gets a reply from that judge; `{}` is the doc_id's last digit."""
    with JudgeFiles(folder).writing(judge) as keep:
        for result in results:
            for d, item in items_of(result).items():
                keep(reply(item, text.format(d[-1])))


def test_every_report_fills_the_gpt_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [cell("before"), cell("dedup"), cell("icu"), cell("kl")]
    save(tmp_path, *results)
    fill(tmp_path, JUDGE, results[:3], "Final score: {}.5")
    mean = fmean([3.5, 0.5, 7.5])
    texts = {}
    for name in ("plain", "latex", "markdown", "csv", "json"):
        assert status_of(["report", str(tmp_path), f"--{name}"]) == 0
        texts[name] = capsys.readouterr().out
    for name in ("plain", "latex", "markdown"):
        assert texts[name].count(f"{mean:.2f}") == 3, name
        told = " ".join(texts[name].split())
        assert "given by gpt-x at example.org/" in told.replace("\\allowbreak{}", "")
        assert "NEO + KL 0 of 3 (3 without an answer)" in told
        assert "GPT (not measured for NEO + KL)" in told
    lines = {row["row"]: row for row in csv.DictReader(io.StringIO(texts["csv"]))}
    assert float(lines["OPT"]["gpt_mean"]) == pytest.approx(mean)
    assert lines["NEO + KL"]["gpt_mean"] == ""
    document = json.loads(texts["json"])
    rows = {row["label"]: row["cells"] for row in document["blocks"][0]["groups"][0]["rows"]}
    assert rows["NEO + ICU"]["gpt"]["mean"] == pytest.approx(mean)
    assert [n["kind"] for n in document["blocks"][0]["notes"]].count("judge") == 1


def test_gpt_counts_in_the_scores_once_all_compared_rows_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [cell("dedup"), cell("icu")]
    save(tmp_path, *results)
    fill(tmp_path, JUDGE, results[:1], "Final score: 2")
    fill(tmp_path, JUDGE, results[1:], "Final score: 6")
    assert status_of(["report", str(tmp_path), "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["blocks"][0]["groups"]
    assert "gpt" in group["scored"]
    opt, icu = (row["cells"] for row in group["rows"])
    # BERTScore is the same in both rows, so the scores are those of GPT alone.
    assert (opt["s_z"]["mean"], icu["s_z"]["mean"]) == (-1, 1)
    assert (opt["s_m"]["mean"], icu["s_m"]["mean"]) == (0, 1)
    assert (icu["gpt"]["rank"], opt["gpt"]["rank"]) == (1, 2)


def test_rows_judged_on_fewer_documents_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [cell("dedup"), cell("icu")]
    save(tmp_path, *results)
    fill(tmp_path, JUDGE, results[:1], "Final score: 2")
    part = scored(results[1], d3="Final score: 6", d7="what?")
    with JudgeFiles(tmp_path).writing(JUDGE) as keep:
        for one in part.replies.values():
            keep(one)
    assert status_of(["report", str(tmp_path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Not every continuation has a score: NEO + ICU 1 of 3 (1 unparsable, 1 without" in told
    assert "Measured on different numbers of documents: GPT (1, 3)." in told


def test_of_several_judges_one_must_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [cell("dedup"), cell("icu")]
    save(tmp_path, *results)
    other = Judge.of("gpt-y", "example.org/v1", Prompt())
    fill(tmp_path, JUDGE, results, "Final score: 1")
    fill(tmp_path, other, results, "Final score: 9")
    assert status_of(["report", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert JUDGE.id in told
    assert other.id in told
    assert status_of(["report", str(tmp_path), "--judge", other.id]) == 0
    assert "9.00" in capsys.readouterr().out
    assert status_of(["report", str(tmp_path), "--judge", "none"]) == 0
    assert "GPT (not measured)" in capsys.readouterr().out
    assert status_of(["report", str(tmp_path), "--judge", other.id + "0"]) == 2
    assert f"did you mean '{other.id}'?" in capsys.readouterr().err
    assert status_of(["judge", str(tmp_path), "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["judge", JUDGE.id, other.id]
    assert all("6 of 6" in line for line in listed[1:])


def test_the_note_names_groups_if_there_are_several() -> None:
    results = [cell("icu"), cell("icu", group="neo-125m", identity={"other": 1})]
    note = judge_note(results, JudgeScores(JUDGE, {}))
    assert "nano-neo: NEO + ICU 0 of 3" in note.text
    assert "neo-125m: NEO + ICU 0 of 3" in note.text
