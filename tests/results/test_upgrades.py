"""What releases have written is read, and after `upgrade` not measured again."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import tiny
from tiny import cli
from version_1 import HARNESS, PLUGIN, write_version_1

import unlearnbench
from unlearnbench.files.software import harness_sha256
from unlearnbench.reporting.continuations import final, texts_of
from unlearnbench.results import upgrades
from unlearnbench.results.files import Damage, read_file
from unlearnbench.results.record import SCHEMA_VERSION, key_of, question_in
from unlearnbench.results.store import Store

HISTORIC = Path(__file__).parents[1] / "historic_results"
VERSION_1 = sorted((HISTORIC / "v1" / "cells").glob("*.json"))


@pytest.fixture
def old(tmp_path) -> Path:
    """A folder with the results of 0.1, which may be changed."""
    return Path(shutil.copytree(HISTORIC / "v1", tmp_path / "old"))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def check_printed(printed: str) -> None:
    """Whether every value that 0.1 printed is there; a later release may print more."""
    before = rows((HISTORIC / "v1" / "report.csv").read_text())
    assert len(before) == 3
    for row, of_before in zip(rows(printed), before, strict=True):
        assert {name: row[name] for name in of_before} == of_before


def test_a_report_of_version_1_is_what_0_1_printed():
    status, printed, told = cli("report", "--csv", HISTORIC / "v1")
    assert (status, told) == (0, "")
    check_printed(printed)


@pytest.mark.parametrize("path", VERSION_1, ids=lambda path: path.name[:8])
def test_every_part_of_version_1_has_its_place(path):
    result, raw = read_file(path), json.loads(path.read_text())
    assert not isinstance(result, Damage), result
    assert (result.schema_version, result.key) == (SCHEMA_VERSION, raw["key"])
    assert result.identity == raw["identity"]
    assert result.model.is_synthetic
    for task, by_metric in raw["scores"].items():
        for name, score in by_metric.items():
            now = result.scores[task][name]
            assert (now.value, now.n, now.documents) == (
                score["value"], score["n"], score["documents"]
            )  # fmt: skip
    for doc_id in raw["forget_set"]["prefixes"]:
        texts = texts_of(result, doc_id)
        assert texts.prefix == raw["forget_set"]["prefixes"][doc_id]
        assert texts.reference == raw["forget_set"]["suffixes"][doc_id]
        if raw["scores"]:
            outputs = raw["scores"]["forgetting"]["bertscore_f1"]["outputs"]
            assert final(result, doc_id).text == outputs[doc_id] == result.continuations[doc_id]
    assert [e.losses for e in result.trace.epochs] == [
        e["losses"] for e in raw["trace"]["epochs"]
    ] if raw["trace"] else result.trace is None  # fmt: skip
    light = read_file(path, documents=False)
    assert light.continuations == {}
    assert light.in_full().model_dump_json() == result.model_dump_json()


def test_how_a_score_is_made_is_said():
    scores = {
        name: score.aggregation
        for path in VERSION_1
        for by_metric in read_file(path).scores.values()
        for name, score in by_metric.items()
    }
    assert scores["ma"] == scores["hellaswag"] == "mean"
    assert scores["pile_ppl"] == scores["wikitext_ppl"] == "exp_mean"
    assert scores["cls_avg"] == scores["dia_avg"] == "mean_of_scores"


@pytest.mark.parametrize("path", VERSION_1, ids=lambda path: path.name[:8])
@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("key",), "0" * 64, "the key is not that"),
        (("identity", "seed"), 1, "the key is not that"),
        (("scores",), [], "damaged"),
        (("model",), {}, "damaged"),
        (("extra",), 1, "extra"),
        (("seed",), "x", "seed"),
    ],
)
def test_a_spoilt_file_of_version_1_is_named(tmp_path, path, place, value, told):
    raw = json.loads(path.read_text())
    part = raw
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    spoilt = tmp_path / path.name
    spoilt.write_text(json.dumps(raw))
    assert told in read_file(spoilt).reason
    spoilt.write_text(path.read_text().replace('"seed":', '"seed": 7, "seed":', 1))
    assert read_file(spoilt).reason == "damaged: 'seed' stands there twice"


@pytest.mark.parametrize("spoil", [{"value": 10**400}, {"documents": {"0": 10**400}}])
def test_a_number_of_version_1_that_cannot_be_computed_with_is_named(tmp_path, spoil):
    path = next(path for path in VERSION_1 if json.loads(path.read_text())["scores"])
    raw = json.loads(path.read_text())
    raw["scores"]["forgetting"]["ma"] |= spoil
    (tmp_path / path.name).write_text(json.dumps(raw))
    assert "damaged: int" in read_file(tmp_path / path.name).reason


# ---- the command


def test_released_results_get_todays_key_and_nothing_is_lost(old):
    before = {path.name: path.read_bytes() for path in old.glob("cells/*")}
    results = Store(old).load_all()[0]
    (old / "logs").mkdir()
    (old / "models" / results[0].key).mkdir(parents=True)
    for result in results:
        (old / "logs" / f"{result.key}.log").write_text(result.label)
    status, printed, _ = cli("upgrade", old, "--dry-run")
    assert status == 0
    assert "results that would be upgraded: 3" in printed
    assert {path.name: path.read_bytes() for path in old.glob("cells/*")} == before

    status, printed, _ = cli("upgrade", old)
    assert status == 0
    assert "  3 measured by code that gives this version's numbers" in printed
    kept = {path.name: path.read_bytes() for path in old.glob("before-upgrade/*.json")}
    assert kept == before
    now, damages = Store(old).load_all()
    assert (len(now), damages) == (3, [])
    for result in results:
        (same,) = [r for r in now if question_in(r.identity) == question_in(result.identity)]
        assert same.key == key_of(same.identity) != result.key
        software = same.identity["software"]
        assert software["harness"] == harness_sha256()
        packages = result.identity["software"]["packages"]
        assert software["packages"] == {**packages, "unlearnbench": unlearnbench.__version__}
        changes = {"key": result.key, "identity": result.identity}
        assert same.model_copy(update=changes).model_dump_json() == result.model_dump_json()
        assert (old / "logs" / f"{same.key}.log").read_text() == result.label
        if result is results[0]:
            assert (old / "models" / same.key).is_dir()
        assert Store(old).renamed()[result.key] == same.key  # which studies know by its old key
    check_printed(cli("report", "--csv", old)[1])
    assert cli("upgrade", old)[1] == f"nothing to upgrade in {old}\n"


def test_a_folder_without_old_results_stays_as_it_is(tmp_path):
    assert cli("upgrade", tmp_path)[:2] == (0, f"nothing to upgrade in {tmp_path}\n")
    assert list(tmp_path.iterdir()) == []


def test_what_unknown_code_measured_keeps_its_software(old, monkeypatch):
    monkeypatch.setattr(upgrades, "RELEASED", {})
    results = Store(old).load_all()[0]
    status, printed, _ = cli("upgrade", old)
    assert status == 0
    assert "  0 measured by code" in printed
    assert "  3 by other code" in printed
    now = Store(old).load_all()[0]
    assert [r.model_dump_json() for r in now] == [r.model_dump_json() for r in results]
    assert all(json.loads(p.read_text())["schema_version"] == 2 for p in old.glob("cells/*.json"))
    check_printed(cli("report", "--csv", old)[1])


def test_one_that_was_interrupted_goes_on(old):
    assert cli("upgrade", old)[0] == 0
    shutil.copy(VERSION_1[0], old / "cells")  # the new files were there, and the old one still is
    check_printed(cli("report", "--csv", old)[1])
    assert "results upgraded: 1" in cli("upgrade", old)[1]
    assert len(Store(old).load_all()[0]) == len(list(old.glob("cells/*.json"))) == 3


def test_a_damaged_file_stays_and_is_named(old):
    (old / "cells" / "x.json").write_text('{"schema_version": 1}')
    status, printed, told = cli("upgrade", old)
    assert status == 1
    assert "results upgraded: 3" in printed
    (line,) = told.splitlines()
    assert line.startswith(f"unlearnbench: left as it is: {old / 'cells' / 'x.json'}: damaged")
    assert (old / "cells" / "x.json").exists()


def test_a_folder_that_a_run_writes_to_is_refused(old):
    with Store(old).writing():
        status, printed, told = cli("upgrade", old)
    assert (status, printed) == (2, "")
    assert told.splitlines() == [
        f"unlearnbench: error: a run is writing to {old}; wait for its end"
    ]
    assert cli("upgrade", old / "nowhere")[0] == 2


@pytest.fixture(scope="module")
def world_files(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("tiny"))


def test_after_an_upgrade_the_same_run_measures_nothing(world_files, tmp_path, monkeypatch):
    with tiny.at_home(world_files):
        new, out = tmp_path / "new", tmp_path / "out"
        status, table, _ = cli(*world_files.options(new))
        assert status == 0
        paths = write_version_1(new, out)
        assert cli("report", out)[1] == cli("report", new)[1]
        plugins = {name: PLUGIN for r in Store(new).load_all()[0] for name in software_of(r)}
        monkeypatch.setattr(upgrades, "RELEASED", {HARNESS: plugins})
        assert f"  {len(paths)} measured by code" in cli("upgrade", out)[1]
        status, again, told = cli(*world_files.options(out))
        assert (status, again) == (0, table)
        assert f"0 cells run, {len(paths)} from before, 0 failed" in told
        assert tiny.all_numbers(out) == tiny.all_numbers(new)


def software_of(result):
    return result.identity["software"]["plugins"]
