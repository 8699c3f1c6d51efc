"""Cells on a Ray cluster: the same numbers, lost workers and machines, clear ends."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import tiny
from tiny import all_numbers, cli

from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import make_plan
from unlearnbench.files.whole_files import write_new
from unlearnbench.results.store import Store
from unlearnbench.running.launching import identity_check
from unlearnbench.running.launching.ray import session as _ray_session
from unlearnbench.running.launching.ray.parcels import (
    LIBRARIES_BYTES,
    Parcel,
    PluginFile,
    Request,
    _unpacked,
    load_plugin,
    main_memory,
)

BENCHMARK = Path(__file__).resolve().parents[2] / "speed" / "grid.py"
DEADLY = '''
import os
from dataclasses import dataclass

from unlearnbench.unlearning.method import Method
from unlearnbench.registry import register


@register
@dataclass(kw_only=True)
class Deadly(Method):
    """Takes its process with it."""

    name = "deadly"
    label = "Deadly"

    def unlearn(self, model, forget_set, examiner):
        os._exit(9)
'''


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    """The files of a run; the cache and the plugins that runs load are gone afterwards."""
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        yield world


@pytest.fixture(scope="module")
def ray():
    """Ray, where it is installed."""
    return pytest.importorskip("ray", reason="Ray is not installed: pip install ray")


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    """The folder and the table of a run in one process."""
    out = tmp_path_factory.mktemp("undisturbed")
    status, table, told = cli(*world.options(out))
    assert status == 0, told
    return out, table


@pytest.fixture
def cells(world, tmp_path):
    """The cells of such a run, planned in this process."""
    f = world.folder
    experiment = Experiment(
        model=(str(f / "model"),),
        forget_set=str(f / "forget.jsonl"),
        pool=str(f / "pool.jsonl"),
        encoder=str(f / "bert"),
        bert=str(f / "bert"),
        text=(f"pile={f / 'text.txt'}",),
        methods=("kumpr", "push"),
        tasks=("forgetting",),
        plugin=(str(f / "push.py"),),
        device="cpu",
        threads=1,
        out=str(tmp_path / "out"),
    )
    return make_plan(experiment).cells


def test_same_numbers_as_in_one_process_and_a_deadly_cell_fails_alone(
    ray, world, undisturbed, tmp_path
):
    deadly = tmp_path / "deadly.py"
    deadly.write_text(DEADLY)
    out = tmp_path / "out"
    options = world.options(out, "--plugin", str(deadly), methods="kumpr,push,deadly")
    done = world.run(*options, "--launcher", "ray", "--jobs", "2", "--retries", "1")
    assert done.returncode == 1, done.stderr
    assert "its Ray worker died" in done.stderr
    assert "; it is run again" in done.stderr
    assert "4 cells run, 0 from before, 1 failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "raylet" not in done.stderr, "Ray's own talk is none of the user's"
    assert done.stdout.startswith("model: "), "stdout is the table alone"
    failed = [r for r in Store(out).load_all()[0] if r.status == "failed"]
    assert [(r.label, r.error.endswith("(2 attempts)")) for r in failed] == [
        ("model + Deadly", True)
    ]
    found = all_numbers(out)
    del found[f"{failed[0].key}.json"]
    assert found == all_numbers(undisturbed[0])
    for key in (name.removesuffix(".json") for name in found):
        log = (out / "logs" / f"{key}.log").read_text().splitlines()
        assert log[0].endswith("attempt 1")
        assert log[-1].endswith(" s")
    status, table, told = cli(*world.options(out))
    assert (status, table) == (0, undisturbed[1])
    assert "0 cells run, 3 from before" in told


def test_an_interrupt_ends_everything_and_logs_were_live(ray, world, tmp_path):
    process = world.start(
        *world.options(tmp_path, "--max-epochs", "5000", "--launcher", "ray"),
        "--set",
        "protocol.stop_rule=and",
    )
    wait_for(process, lambda: any_log_has(tmp_path, "epoch 2 of 5000"))
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("raylet" in p.name() for p in family)
    process.send_signal(signal.SIGINT)
    shown, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert shown == ""
    assert "run the same command to go on" in told
    wait_until_gone(family, 20)
    assert list((tmp_path / "claims").iterdir()) == []


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_no_process(ray, world, tmp_path):
    options = world.options(tmp_path, "--max-epochs", "5000", "--launcher", "ray")
    process = world.start(*options)
    wait_for(process, lambda: any_log_has(tmp_path, "epoch 2 of 5000"))
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    # Ray's two agents look for its server for a minute; cells and all else end at once.
    wait_until_gone(family, 120)


@pytest.mark.slow
def test_a_cell_that_takes_too_long_is_stopped(ray, world, tmp_path):
    endless = ["--max-epochs", "50000", "--set", "push.learning_rate=1e-9"]
    options = [*world.options(tmp_path, *endless), "--references", "none", "--cell-timeout", "0.4"]
    done = world.run(*options, "--launcher", "ray")
    assert done.returncode == 1, done.stderr
    errors = {r.label: r.error for r in Store(tmp_path).load_all()[0]}
    assert errors["model + Push"] == "it took longer than --cell-timeout allows"


@pytest.mark.slow
def test_a_machine_that_is_lost_changes_nothing(ray, world, tmp_path):
    command = [sys.executable, str(BENCHMARK), "--times", "1", "--cells", "small"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DIFFERENT" not in done.stdout
    assert "nodes killed" in done.stdout


def test_without_ray_the_command_to_install_it(world, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'unlearnbench\[ray\]'"):
        _ray_session.connect(None)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:{free}", "no Ray cluster at 127.0.0.1:.* ray start --head"),
        ("somewhere", "neither auto nor HOST:PORT"),
        ("host:70000", "neither auto nor HOST:PORT"),
        ("ray://host:10001", "--ray-address auto"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once(ray, address, told):
    with socket.socket() as reserved:  # bound but not listening: nobody else can take the port
        reserved.bind(("127.0.0.1", 0))
        free = reserved.getsockname()[1]
        with pytest.raises(UserError, match=told) as caught:
            _ray_session.connect(address.format(free=free))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionError("Could not find any running Ray instance."), "ray start --head"),
        (RuntimeError("Version mismatch:\n  Ray: 2.1.0"), "needs the same Python and Ray"),
        (ConnectionError("Failed to connect to Ray cluster"), "export RAY_AUTH_MODE=token"),
    ],
)
def test_what_ray_refuses_is_told_in_one_line(ray, monkeypatch, error, told):
    def refuse(**options):
        raise error

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(UserError, match=told) as caught:
        _ray_session.connect("auto")
    assert "\n" not in str(caught.value)


def test_rays_errors_in_words(ray):
    from ray import exceptions as of_ray

    from unlearnbench.running.launching.ray.cluster import MACHINE, MEMORY, WORKER, lost

    assert lost(of_ray.NodeDiedError("gone")).reason == MACHINE
    assert lost(of_ray.LocalRayletDiedError()).reason == MACHINE
    assert lost(of_ray.OwnerDiedError("00", "", "")).reason == MACHINE
    assert lost(of_ray.WorkerCrashedError()).reason == WORKER
    assert lost(of_ray.OutOfMemoryError("node")).reason == MEMORY
    assert lost(of_ray.OutOfMemoryError("node")).again
    cause = ModuleNotFoundError("No module named 'unlearnbench'")
    absent = of_ray.RayTaskError("run_parcel", "No module named 'unlearnbench'", cause)
    assert not lost(absent).again
    assert "same installation" in lost(absent).reason
    other = lost(of_ray.RaySystemError("a\nb"))
    assert other.again
    assert "\n" not in other.reason


def test_a_cell_that_comes_back_at_once_rests_longer_each_time(ray):
    from unlearnbench.running.launching.ray.cluster import pause_after

    assert [pause_after(n) for n in (1, 2, 3, 4, 5, 100)] == [1, 2, 4, 8, 8, 8]


def test_a_cell_asks_for_its_share(cells):
    cell = cells[0]
    on_gpu = replace(cell, model=replace(cell.model, device="cuda"), threads=4)
    assert Request.of(cell, None) == Request(1, 0.0, main_memory(cell))
    assert Request.of(on_gpu, None).n_gpus == 1
    assert Request.of(on_gpu, 0.5).n_gpus == 0.5
    assert Request.of(on_gpu, None).n_cpus == 4
    bytes_of_weights = 4 * cell.model.n_parameters
    assert Request.of(on_gpu, None).n_bytes == LIBRARIES_BYTES + bytes_of_weights


def test_a_cell_whose_memory_cannot_be_predicted_makes_no_request(cells):
    cell = next(c for c in cells if c.method == "kumpr")
    assert main_memory(cell) > LIBRARIES_BYTES / 10
    absent = replace(cell, model=replace(cell.model, requested="nowhere-to-be-found"))
    assert main_memory(absent) == 0


def test_room_of_machines():
    request = Request(2, 0.5, 10)
    node = {"CPU": 8.0, "GPU": 1.0, "memory": 100.0}
    assert request.fits_in(node) == 2
    assert request.fits_in({"CPU": 8.0, "memory": 100.0}) == 0
    assert Request(1, 0.0, 30).fits_in(node) == 3
    assert Request(16, 1.0, 1000).within(node) == Request(8, 1.0, 100)
    assert Request(2, 0.0, 10).within(node) == Request(2, 0.0, 10)


def test_a_plugin_travels_with_its_source(cells, world, tmp_path, monkeypatch):
    from unlearnbench.files.software import source_sha256

    here = source_sha256(registry.find("methods", "push"))
    source = (world.folder / "push.py").read_bytes()
    elsewhere = PluginFile("/not/on/this/machine/push.py", source)
    others = {k: v for k, v in registry._plugins["methods"].items() if k != "push"}
    monkeypatch.setitem(registry._plugins, "methods", others)
    monkeypatch.setattr("unlearnbench.running.launching.ray.parcels._own_folder", lambda: tmp_path)
    load_plugin(elsewhere)
    load_plugin(elsewhere)
    assert source_sha256(registry.find("methods", "push")) == here
    assert (tmp_path / "push.py").read_bytes() == source


def test_a_machine_without_the_files_is_named(cells, tmp_path):
    paths = identity_check.paths_of(cells[0])
    assert sorted({Path(p).name for p in paths}) == ["bert", "forget.jsonl", "model", "pool.jsonl"]
    with pytest.raises(UserError, match="nothing at /not/here; put it in a folder that every"):
        identity_check.check_paths([*paths, "/not/here"])


def test_a_machine_with_other_software_data_or_weights_is_refused(cells, monkeypatch):
    cell = next(c for c in cells if c.method == "push")
    identity_check.check_software(cell.identity["software"])
    identity_check.check_cell(cell)
    software = cell.identity["software"]
    older = {**software, "packages": {**software["packages"], "torch": "1.0"}}
    with pytest.raises(UserError, match=r"torch \S+ instead of 1\.0; every machine"):
        identity_check.check_software(older)
    with pytest.raises(UserError, match="with other source"):
        identity_check.check_software({**software, "harness": "0" * 64})
    edited = {**cell.identity, "software": {**software, "plugins": {"push": "0" * 64}}}
    with pytest.raises(UserError, match="a plugin is another one"):
        identity_check.check_cell(replace(cell, identity=edited))
    copied = {**cell.identity, "forget_set": {"run": "0", "sha256": "0" * 64, "limit": None}}
    with pytest.raises(UserError, match="the forget set is another one"):
        identity_check.check_cell(replace(cell, identity=copied))
    monkeypatch.setattr("unlearnbench.models.source.weights_sha256", lambda folder: "0" * 64)
    with pytest.raises(UserError, match=r"model '.*model' is another one"):
        identity_check.check_cell(cell)


def test_a_device_of_another_name_is_refused(cells):
    model = replace(cells[0].model, device_name="cuda Some GPU")
    with pytest.raises(UserError, match="its device is 'cpu', not 'cuda Some GPU'"):
        identity_check.check_device(replace(cells[0], model=model))


def test_a_cell_comes_out_as_it_went_in(cells, world):
    cell = cells[0]
    parcel = Parcel(
        key=cell.key,
        software=cell.identity["software"],
        cell=pickle.dumps(replace(cell, data=None)),
        folder=str(Path.cwd()),
        paths=identity_check.paths_of(cell),
        plugins=[],
    )
    assert len(pickle.dumps(parcel)) < 20_000, "texts and sets travel apart, once"
    assert _unpacked(parcel, pickle.dumps(cell.data)) == cell


def test_without_locks_the_first_result_stays(tmp_path):
    results = [stored(seconds=float(i)) for i in range(8)]
    kept: list = []

    def commit(result):
        kept.append(Store(tmp_path).commit(result).seconds)

    run_at_once([threading.Thread(target=commit, args=(result,)) for result in results])
    on_disk = Store(tmp_path).load(results[0].key)
    assert set(kept) == {on_disk.seconds}
    assert len(list((tmp_path / "cells").iterdir())) == 2  # its header and its documents


def test_a_finished_result_replaces_a_failed_one_and_never_the_other_way_round(tmp_path):
    failed = stored(seconds=1.0).model_copy(update={"status": "failed", "error": "lost"})
    store = Store(tmp_path)
    assert store.commit(failed).status == "failed"
    assert store.commit(stored(seconds=2.0)).seconds == 2.0
    assert store.commit(failed).seconds == 2.0
    assert store.load(failed.key).status == "ok"


@pytest.mark.parametrize("has_links", [True, False])
def test_one_of_many_writes_a_new_file(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)
    path = tmp_path / "file"
    assert write_new(path, "first", "do so")
    assert not write_new(path, "second", "do so")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def refuse_links(*_):
    import errno

    raise OSError(errno.ENOTSUP, "not supported")


def stored(seconds: float):
    """A finished result of always the same cell."""
    from stored_cases import full_result

    return full_result().model_copy(update={"seconds": seconds})


def run_at_once(threads) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def is_running(process) -> bool:
    """Not so if nobody but its parent remembers it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while left := [process for process in processes if is_running(process)]:
        assert time.monotonic() < limit, left
        time.sleep(0.2)


def any_log_has(out: Path, text: str) -> bool:
    return any(text in path.read_text() for path in (out / "logs").glob("*.log"))


def wait_for(process, is_so) -> None:
    limit = time.monotonic() + 240
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.1)
