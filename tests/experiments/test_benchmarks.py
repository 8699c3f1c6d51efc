"""A benchmark from its file to a table: splits, references, settings, and what cannot be had."""

import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import WORDS, TinyWorld, at_home, build, cli, save_model, sentence

from unlearnbench.experiments.experiment import Experiment
from unlearnbench.results.record import Result
from unlearnbench.results.store import Store

BENCHMARK = """
title = "Tiny"
summary = "Two forget splits of words in random order"
columns = ["forget_quality", "ks_distance", "forget_probability", "forget_kl_to_retrained"]

[run]
model = ["{folder}/model"]
methods = ["npo", "kumpr"]
tasks = ["answers", "distance"]
data = "{folder}/tables"
pairing = "random"
until = "epochs"
max_epochs = 1
bert = "off"
stop = "paper"
settings = ["protocol.loss_reduction=mean"]

[settings.all]
learning_rate = 2e-4
[settings.npo]
beta = 0.5

[template]
kind = "plain"
prompt = "{{question}}"

[tables]
few = {{ of = "many", rows = [4, 8] }}
many = "hf:nobody/nothing:many"
kept = "hf:nobody/nothing:kept"
held = "hf:nobody/nothing:held"

[forget.few]
forget = "few"
retain = "kept"
holdout = "held"
retrained = "{folder}/retrained"

[forget.many]
forget = "many"
retain = "kept"
holdout = "held"

[fields]
paraphrases = "paraphrase"
wrong = "wrong"

[splits.forget]
role = "forget"
table = "{{forget}}"
measures = ["probability", "paraphrase", "wrong", "distance"]

[splits.retain]
role = "retain"
table = "kept"
measures = ["probability"]
"""


def row(dice: random.Random) -> dict[str, object]:
    answers = [sentence(dice, 8) for _ in range(7)]
    return {
        "question": sentence(dice, 6),
        "answer": answers[0],
        "paraphrase": answers[1],
        "wrong": answers[2:],
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyWorld]:
    with at_home(build(tmp_path_factory.mktemp("tiny"))) as world:
        yield world


@pytest.fixture(scope="module")
def place(tiny: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables, two models and the benchmark's file."""
    folder, dice = tmp_path_factory.mktemp("benchmark"), random.Random(11)
    (folder / "tables").mkdir()
    tables = {name: [row(dice) for _ in range(8)] for name in ("many", "kept", "held")}
    for name, rows in tables.items():
        write(folder / "tables" / f"{name}.jsonl", rows)
    save_model(folder / "model", [sentence(dice, 60) for _ in range(3)])
    save_model(folder / "retrained", [sentence(dice, 60) for _ in range(3)])
    (folder / "tiny.toml").write_text(BENCHMARK.format(folder=folder))
    return folder


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def ask(place: Path, *more: object) -> tuple[int, str, str]:
    common = ("run", "--benchmark", place / "tiny.toml", "--jobs", 0, "--threads", 1)
    return cli(*common, "--device", "cpu", *more)


@pytest.fixture(scope="module")
def ran(place: Path) -> Path:
    """The results of both splits."""
    out = place / "out"
    status, _, err = ask(place, "--split", "few,many", "--out", out)
    assert status == 0, err
    return out


def results(out: Path) -> list[Result]:
    return Store(out).load_all()[0]


def test_each_split_has_its_rows_its_references_and_what_is_measured(ran: Path) -> None:
    by_split: dict[str, list[Result]] = {}
    for result in results(ran):
        assert result.benchmark is not None
        by_split.setdefault(result.benchmark.split, []).append(result)
    assert {split: sorted(r.role for r in of) for split, of in by_split.items()} == {
        "few": ["before", "method", "method", "retrained"],
        "many": ["before", "method", "method"],
    }
    for split, n_rows in (("few", 4), ("many", 8)):
        for result in by_split[split]:
            assert result.benchmark is not None
            assert result.benchmark.splits["forget"].n == n_rows
            assert len(result.scores["answers"]["forget_probability"].documents) == n_rows
            assert len(result.scores["answers"]["retain_probability"].documents) == 8
    for result in by_split["few"]:
        nats = result.scores["distance"]["forget_kl_to_retrained"].value
        assert nats < 1e-6 if result.role == "retrained" else nats > 0.01
    assert not any(result.scores["distance"] for result in by_split["many"])


def test_settings_are_the_benchmarks_where_the_command_says_none(ran: Path, place: Path) -> None:
    npo = next(result for result in results(ran) if result.method.name == "npo")
    assert npo.method.settings["beta"] == 0.5
    assert npo.method.settings["learning_rate"] == 2e-4
    assert npo.method.origins["beta"] == "benchmark tiny"
    assert npo.protocol["loss_reduction"] == "mean"
    out = place / "given"
    own = ("--set", "npo.beta=0.2", "--references", "none", "--split", "few", "--out", out)
    status, _, err = ask(place, "--methods", "npo", *own)
    assert status == 0, err
    (given,) = results(out)
    assert given.method.settings["beta"] == 0.2
    assert given.protocol["loss_reduction"] == "mean"


def test_a_split_is_a_table_of_its_own_and_other_results_are_none_of_it(
    ran: Path, tiny: TinyWorld
) -> None:
    status, text, err = cli("report", ran)
    assert status == 0, err
    assert "model (Tiny few):" in text
    assert "model (Tiny many):" in text
    assert "s_z" not in text
    both = ran.parent / "both"
    shutil.copytree(ran, both)
    status, _, err = cli(*tiny.options(both, "--references", "none"))
    assert status == 0, err
    status, _, err = cli("report", both)
    assert status == 2
    assert "--benchmark" in err
    status, text, _ = cli("report", both, "--benchmark", "tiny")
    assert status == 0
    assert "Push" not in text
    status, text, _ = cli("report", both, "--benchmark", "none")
    assert status == 0
    assert "Push" in text


def test_the_same_command_again_measures_nothing(ran: Path, place: Path) -> None:
    status, _, err = ask(place, "--split", "few,many", "--out", ran)
    assert status == 0
    assert "0 cells run, 7 from before" in err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--split", "fwe"), "did you mean 'few'"),
        (("--forget-set", "x.jsonl"), "says itself what is forgotten"),
        (("--template", "chat"), "has no chat template"),
        (("--split", "few,many", "--retrained", "somewhere"), "--retrained few=somewhere"),
        (("--split", "few", "--runs", "many"), "leave one out"),
        (("--tasks", "replies"), "no split of benchmark tiny asks for what task 'replies'"),
        (("--split", "few", "--retrained", "nowhere/at-all"), "nowhere/at-all"),
    ],
)
def test_what_cannot_be_had_is_one_line(place: Path, more: tuple[str, ...], message: str) -> None:
    status, _, err = ask(place, "--dry-run", *more)
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_retrained_model_of_another_split_or_tokenizer_is_refused(place: Path) -> None:
    retrained = place / "retrained"
    status, _, err = ask(place, "--split", "many", "--retrained", retrained, "--dry-run")
    assert status == 2
    assert "was trained without few, not without many" in err
    other = place / "other"
    if not other.exists():
        shutil.copytree(retrained, other)
        tokenizer = other / "tokenizer.json"
        tokenizer.write_text(tokenizer.read_text().replace(f'"{WORDS[3]}"', f'"{WORDS[3]}x"'))
    status, _, err = ask(place, "--split", "few", "--retrained", other, "--dry-run")
    assert status == 2
    assert "another tokenizer" in err


def test_what_a_table_is_called_measures_nothing_else(ran: Path, place: Path) -> None:
    renamed = place / "renamed"
    shutil.copytree(place / "tables", renamed)
    for path in renamed.glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.with_suffix(".json").write_text(json.dumps(rows))
        path.unlink()
    status, _, err = ask(place, "--split", "few,many", "--out", ran, "--data", renamed)
    assert status == 0
    assert "0 cells run, 7 from before" in err


def test_another_chat_template_is_another_cell(place: Path, tmp_path: Path) -> None:
    text = (place / "tiny.toml").read_text()
    for name in ("model", "retrained"):
        shutil.copytree(place / name, tmp_path / name)
        text = text.replace(f"{place}/{name}", f"{tmp_path}/{name}")

    def keys(template: str, kind: str) -> set[str]:
        for name in ("model", "retrained"):
            turns = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
            (tmp_path / name / "chat_template.jinja").write_text(turns + template)
        (tmp_path / "own.toml").write_text(text.replace('kind = "plain"', f'kind = "{kind}"'))
        status, out, err = cli("run", "--benchmark", tmp_path / "own.toml", "--dry-run",
                               "--split", "few", "--device", "cpu")  # fmt: skip
        assert status == 0, err
        return {line.split()[0] for line in out.splitlines() if "forget set few" in line}

    assert len(keys("a", "auto")) == 4
    assert keys("a", "auto") == keys("a", "auto")
    assert not keys("a", "auto") & keys("b", "auto")
    assert keys("a", "plain") == keys("b", "plain")


def test_a_table_that_changes_is_read_anew_by_a_new_plan_and_fails_a_run(
    place: Path, tmp_path: Path
) -> None:
    from unlearnbench.experiments.data_choice import _open
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.planner import make_plan
    from unlearnbench.running.cell_run import run_cell

    tables = tmp_path / "tables"
    shutil.copytree(place / "tables", tables)
    shutil.copy(tables / "many.jsonl", tables / "measured.jsonl")
    text = (place / "tiny.toml").read_text().replace('table = "{forget}"', 'table = "measured"')
    (tmp_path / "own.toml").write_text(text.replace("[tables]", "[tables]\nmeasured = {}"))
    values = {"benchmark": str(tmp_path / "own.toml"), "split": "few", "data": str(tables),
              "references": "before", "methods": "kumpr", "tasks": "answers",
              "device": "cpu"}  # fmt: skip
    first = make_plan(Experiment.parse(values)).cells
    rows = tables / "measured.jsonl"
    rows.write_text(rows.read_text().replace(WORDS[0], WORDS[1]))
    second = make_plan(Experiment.parse(values)).cells
    assert not {cell.key for cell in first} & {cell.key for cell in second}
    _open.cache_clear()  # as in a worker process, which opens the files anew
    result = run_cell(first[0])
    assert result.status == "failed"
    assert "split 'forget' of benchmark own/few has changed since this run began" in result.error
    assert run_cell(second[0]).status == "ok"


def test_an_item_too_long_for_a_distance_is_told_before_training(place: Path) -> None:
    tables = place / "long"
    shutil.copytree(place / "tables", tables)
    rows = [json.loads(line) for line in (tables / "many.jsonl").read_text().splitlines()]
    rows[5]["answer"] = " ".join([WORDS[0]] * 5000)
    write(tables / "perturbed.jsonl", rows[4:])
    text = (place / "tiny.toml").read_text().replace('table = "{forget}"', 'table = "perturbed"')
    (place / "long.toml").write_text(text.replace("[tables]", "[tables]\nperturbed = {}"))
    status, _, err = cli("run", "--benchmark", place / "long.toml", "--split", "few", "--dry-run",
                         "--tasks", "distance", "--data", tables, "--device", "cpu")  # fmt: skip
    assert status == 2
    assert "perturbed.jsonl, row 1" in err
    assert len(err.strip().splitlines()) == 1


def test_rows_of_two_roles_are_refused(place: Path, tmp_path: Path) -> None:
    own = {path.stem: path.read_text() for path in (place / "tables").glob("*.jsonl")}
    forgotten = own["many"].splitlines(keepends=True)

    def refusal(name: str, **tables: str) -> str:
        (tmp_path / name).mkdir()
        for table, text in {**own, **tables}.items():
            (tmp_path / name / f"{table}.jsonl").write_text(text)
        status, _, err = ask(place, "--data", tmp_path / name, "--split", "few", "--dry-run")
        assert status == 2
        return err

    twice = refusal("a", kept=own["kept"] + forgotten[5])
    assert "row 1 of 'few' (forget) is row 8 of 'kept' (retain)" in twice
    seen = refusal("c", held=own["held"] + own["kept"].splitlines(keepends=True)[2])
    assert "row 2 of 'kept' (retain) is row 8 of 'held' (holdout)" in seen
    assert "the holdout 'held' is the forget set itself" in refusal(
        "b", held="".join(forgotten[4:])
    )


def test_a_task_of_splits_needs_a_benchmark() -> None:
    status, _, err = cli("run", "--tasks", "answers", "--dry-run")
    assert status == 2
    assert "--benchmark nano-tofu" in err


def test_files_that_say_only_what_to_run_with_change_no_cell() -> None:
    plain = cli("run", "--runs", "0,1,2", "--dry-run")[1]  # asked for nothing it is a first look
    assert cli("run", "--benchmark", "nano", "--dry-run")[1] == plain


def test_the_documentations_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parents[2] / "docs/benchmarks.md"
    if not page.is_file():
        pytest.skip("no documentation beside the tests")
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^`(capitals\S*)`:\n\n```\w+\n(.*?)^```$", text, re.M | re.S)
    (command,) = re.findall(r"^unlearnbench (run --benchmark capitals.*)$", text, re.M)
    (tmp_path / "capitals").mkdir()
    for name, content in blocks:
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    status, out, err = cli(*command.split(), "--device", "cpu", "--jobs", 0, "--threads", 1)
    assert status == 0, err
    assert "Truth ratio forget" in out
    found = results(tmp_path / "results")
    assert {result.role for result in found} == {"before", "method"}
    for result in found:
        assert result.scores["replies"]["forget_rouge_l_recall"].n == 2
        assert result.scores["answers"]["retain_probability"].n == 2


def test_settings_of_what_a_command_leaves_out_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'title = ""\nsummary = ""\n[run]\nmethods = ["npo", "rmu"]\n'
        'tasks = ["answers", "replies"]\n'
        'settings = ["replies.stemmer=false", "rmu.layer=3", "protocol.loss_span=all"]'
    )
    of = {"benchmark": str(path)}
    assert len(Experiment.parse(of).settings) == 3
    given = Experiment.parse({**of, "tasks": "answers", "methods": "npo+sam,gd"})
    assert given.settings == ("protocol.loss_span=all",)
    for methods in (["rmu+sam"], "all"):
        given = Experiment.parse({**of, "tasks": "replies", "methods": methods})
        assert len(given.settings) == 3
