"""`--track`: what trackers have written is what the results say, and none can spoil a cell."""

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
from tiny import all_numbers, cli

from unlearnbench.errors import UserError
from unlearnbench.experiments.trackers import check_trackers
from unlearnbench.results.record import EpochRecord
from unlearnbench.running.tracking import process as process_module
from unlearnbench.running.tracking import tracker
from unlearnbench.running.tracking.process import TrackerProcess
from unlearnbench.running.tracking.recording import epoch_values, flat, tracked

NONE = ("--references", "none", "--limit", "4", "--task-limit", "2", "--tasks", "forgetting")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        yield world


def run(world, out, *more):
    status, _, told = cli(*world.options(out, *NONE, *more, methods="kumpr"))
    assert status == 0, told
    return told


def stored(out):
    """The one result of a folder, its epochs' rows left out."""
    (path,) = (out / "cells").glob("*.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def events():
    module = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(module, reason="tensorboard is not installed: the extra test")

    def read(out):
        folder = out / "tracking" / "tensorboard" / "model"
        (run_folder,) = (path for path in folder.iterdir() if path.is_dir())
        found = reader.EventAccumulator(str(run_folder))
        found.Reload()
        return found

    return read


def expected(result):
    """Every scalar that a result says, by name: step and value."""
    found = {}
    for epoch in result["trace"]["epochs"]:
        named = {f"loss/{n}": v for n, v in epoch["losses"].items()}
        named |= {f"rows/{n}": v for n, v in epoch["metrics"].items() if v != "NaN"}
        for name, value in (named | {"rows/active": epoch["n_active"]}).items():
            found.setdefault(name, []).append((epoch["epoch"], value))
    last = result["trace"]["n_epochs"]
    for task, scores in result["scores"].items():
        found |= {f"{task}/{n}": [(last, score["value"])] for n, score in scores.items()}
    for phase, cost in result["costs"].items():
        found[f"cost/{phase}/forward_tokens"] = [(last, cost["forward_tokens"])]
        found[f"cost/{phase}/seconds"] = [(last, cost["seconds"])]
    return found | {"epochs": [(last, last)], "cost/seconds": [(last, result["seconds"])]}


@pytest.fixture(scope="module")
def plain(world, tmp_path_factory):
    """The numbers of a run that is not tracked."""
    out = tmp_path_factory.mktemp("plain")
    run(world, out)
    assert not (out / "tracking").exists()
    return all_numbers(out)


def test_tensorboard_shows_what_the_result_says_and_the_result_is_the_same(
    world, plain, events, tmp_path
):
    run(world, tmp_path, "--track", "tensorboard")
    assert all_numbers(tmp_path) == plain  # by file name, which is the key
    found, result = events(tmp_path), stored(tmp_path)
    scalars = {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }
    for name, points in expected(result).items():
        assert [step for step, _ in scalars[name]] == [step for step, _ in points], name
        values = [value for _, value in scalars[name]]
        assert values == pytest.approx([value for _, value in points], rel=1e-6), name
    assert [step for step, _ in scalars["rows/ma"]] == [0, 1, 2]
    (status,) = found.Tensors("status/text_summary")
    assert status.tensor_proto.string_val[0].decode() == result["status"]
    (table,) = found.Tensors("configuration/text_summary")
    assert f"| key | {result['key']} |" in table.tensor_proto.string_val[0].decode()
    assert "hparams" in found.summary_metadata["_hparams_/experiment"].plugin_data.plugin_name
    # Each epoch was written when it ended, not when all was over.
    first, second = (event.wall_time for event in found.Scalars("rows/ma")[1:])
    assert second < found.Scalars("epochs")[0].wall_time
    assert first < second
    again = cli(*world.options(tmp_path, *NONE, "--track", "tensorboard", methods="kumpr"))[2]
    assert "nothing was tracked" in again


def test_a_tracker_that_breaks_is_one_warning_and_the_cell_goes_on(world, plain, tmp_path):
    (tmp_path / "tracking").write_text("no folder")
    told = run(world, tmp_path, "--track", "tensorboard")
    assert told.count("is not tracked by tensorboard: NotADirectoryError") == 1
    assert all_numbers(tmp_path) == plain
    (log,) = (tmp_path / "logs").glob("*.log")
    assert log.read_text().count("is not tracked by tensorboard") == 1


@pytest.mark.slow
def test_weights_and_biases_offline_and_mlflow_in_a_file(world, plain, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: the extra wandb")
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: the extra mlflow")
    pytest.importorskip("alembic", reason="MLflow's data base is not installed: the extra mlflow")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    told = run(world, tmp_path, "--track", "wandb,mlflow")
    assert "is not tracked" not in told
    assert all_numbers(tmp_path) == plain
    result = stored(tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/tracking/mlflow/mlflow.db")
    (kept,) = client.search_runs([client.get_experiment_by_name("unlearnbench").experiment_id])
    assert (kept.info.run_name, kept.info.status) == (kept.data.params["cell"], "FINISHED")
    assert kept.data.params["status"] == result["status"]
    assert kept.data.params["settings.learning_rate"] == "0.001"
    for name, points in expected(result).items():
        history = client.get_metric_history(kept.info.run_id, name)
        assert [(one.step, one.value) for one in history] == [(s, float(v)) for s, v in points]
    (offline,) = (tmp_path / "tracking" / "wandb" / "wandb").glob("offline-run-*/*.wandb")
    content = offline.read_bytes()
    for name in (b"rows", b"forgetting", b"el10", result["key"].encode()):
        assert name in content


def test_a_tracker_must_be_known_and_installed_before_anything_runs(world, tmp_path, monkeypatch):
    from accelerate import tracking

    status, _, told = cli(*world.options(tmp_path, "--track", "tensorbord"))
    assert status == 2
    assert "unknown tracker 'tensorbord' (did you mean 'tensorboard'?)" in told
    monkeypatch.setattr(tracking, "_available_trackers", [])
    with pytest.raises(UserError, match=r"pip install 'unlearnbench\[mlflow\]'$"):
        check_trackers(["mlflow"])
    with pytest.raises(UserError, match=r"pip install aim$"):
        check_trackers(["aim"])
    check_trackers([])
    assert not (tmp_path / "tracking").exists()


SERVER = """
import sys, time
for number, line in enumerate(sys.stdin, 1):
    if "stop" in line: sys.exit(3)
    if "sleep" in line: time.sleep(60)
    print('{"done": %d}' % number, flush=True)
"""


@pytest.fixture
def process(tmp_path, monkeypatch):
    """A process with messages of its own instead of a tracker; nobody waits long for it."""
    (tmp_path / "talks.py").write_text(SERVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = TrackerProcess("talks", patience=1.0)
    yield made
    made._process.kill()


def wait_until(is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_nobody_waits_for_a_tracker_that_hangs(process):
    process.send("quick")
    wait_until(lambda: process.is_done)
    began = time.monotonic()
    process.send("sleep")
    assert time.monotonic() - began < 0.5
    process.wait()
    assert 0.9 < time.monotonic() - began < 30
    assert process.is_stuck
    assert not process.has_ended
    for _ in range(2000):  # more than a pipe takes
        process.send("log", values={"name": 1.0})
    assert time.monotonic() - began < 40


def test_a_tracker_whose_process_dies_is_noticed(process):
    process.send("stop")
    process.wait()
    wait_until(lambda: process.has_ended)
    assert process.problems() == ["its process ended with exit status 3"]
    assert process.problems() == []


def test_of_processes_that_train_together_only_the_first_tells(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    cell = SimpleNamespace(trackers=("anywhere/tensorboard",), title="a cell")
    with tracked(cell) as ended:
        assert ended("result") == "result"


def test_what_cannot_be_told_is_a_warning(caplog, monkeypatch):
    quiet = SimpleNamespace(problems=list, is_stuck=True)
    monkeypatch.setattr("unlearnbench.running.tracking.recording.process_of", lambda _: quiet)
    cell = SimpleNamespace(trackers=("anywhere/wandb",), title="a cell")
    with tracked(cell):
        pass
    assert "a cell is not tracked by wandb: it is still busy with an earlier cell" in caplog.text


def test_values_have_names_that_every_tracker_takes():
    record = EpochRecord(
        epoch=1, losses={"a=b": math.inf}, metrics={"el": math.nan, "ma": 0.5}, n_active=3
    )
    assert epoch_values(record) == {"loss/a_b": math.inf, "rows/ma": 0.5, "rows/active": 3.0}
    nested = {"a": {"b": (1, 2), "c": None, "d": True}, "e": Path("f"), "g": {}}
    assert flat(nested) == {"a.b": "1, 2", "a.d": True, "e": "f"}


def test_a_run_that_breaks_or_is_left_open_ends_as_failed_and_the_next_begins_anew(monkeypatch):
    told = []

    class Fake(tracker.Run):
        def __init__(self, message):
            self.tracker = self.name = message["name"]

        def start(self):
            told.append(("start", self.name))

        def log(self, values, step):
            told.append((self.name, step))

        def end(self, values, words, step):
            told.append((self.name, words))

        def finish(self, failed):
            told.append(("finish", self.name, failed))

    monkeypatch.setattr(tracker, "_KINDS", {"fake": Fake})
    runs = tracker.Runs()
    for name, status in (("lost", None), ("failed", "failed"), ("good", "ok")):
        runs.do({"do": "begin", "tracker": "fake", "name": name})
        runs.do({"do": "log", "values": {}, "step": 1})
        if status:
            runs.do({"do": "end", "values": {}, "words": {"status": status}, "step": 1})
    runs.do({"do": "log", "values": {}, "step": 2})  # of no run
    assert [one for one in told if one[0] in ("start", "finish")] == [
        ("start", "lost"),
        ("finish", "lost", True),
        ("start", "failed"),
        ("finish", "failed", True),
        ("start", "good"),
        ("finish", "good", False),
    ]
    assert ("good", 2) not in told


def test_a_tracker_under_a_launcher_of_processes_looks_for_no_others(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_USE_DEEPSPEED"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WANDB_MODE", "offline")
    environment = process_module._environment()
    assert environment["WANDB_MODE"] == "offline"
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_USE_DEEPSPEED"} & set(environment)
