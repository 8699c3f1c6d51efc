"""Processes that die at the worst moment, runs that share a folder, and clocks that jump."""

import os
import random
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fault_cases import (
    changed,
    copy,
    errors,
    forked_cli,
    leftovers,
    methods,
    processes_of,
    wait_until,
    with_plugin,
)
from fault_cases import forked_workers as forked_workers
from fault_cases import undisturbed as undisturbed
from fault_cases import world as world
from stored_cases import make_result
from tiny import all_numbers, cli

from unlearnbench.results.store import Store, newest

pytest_plugins = ["fault_cases"]

# Dies at a random moment of its first attempt.
KILLED = """
if is_first("killed"):
    import random, signal, threading, time
    def kill():
        time.sleep(random.uniform(0.0, 0.4))
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=kill).start()
    super().unlearn(model, forget_set, examiner)
    time.sleep(60)
"""
# Dies in the middle of its first result, which is larger than any log record.
HALF_SENT = """
if is_first("half_sent"):
    import signal
    from multiprocessing.connection import Connection
    def send_half(self, content, write=os.write):
        content = bytes(content)
        if len(content) > 8192:
            os.write(self._handle, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        while content:
            content = content[os.write(self._handle, content):]
    Connection._send = send_half
"""
SEGFAULT = "import ctypes\nctypes.string_at(0)"
# A child that was forked keeps every end of every pipe open.
LEAVES_A_CHILD = "import time\nif os.fork() == 0:\n    time.sleep(20)\n    os._exit(0)\nos._exit(3)"
# C code that holds the interpreter's lock: no other thread of the process runs any more.
STUCK = (
    "(Path(os.environ['UNLEARNBENCH_TEST_GATE']) / 'stuck').touch()\n"
    "import ctypes\nctypes.PyDLL(None).sleep(600)"
)
DEAF = (
    "import signal, time\n"
    "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
    "    signal.signal(number, signal.SIG_IGN)\n"
    "while True:\n    time.sleep(1)"
)
# Waits for a file that the test makes.
WAITS = (
    "import time\ngate = Path(os.environ['UNLEARNBENCH_TEST_GATE'])\n"
    "(gate / 'waits').touch()\n"
    "while not (gate / 'open').exists():\n    time.sleep(0.02)"
)
EDITS = (
    "import signal\n"
    "if is_first('edits'):\n"
    "    text = Path(__file__).read_text()\n"
    "    Path(__file__).write_text(text.replace('-batch.target_nll', '-2 * batch.target_nll'))\n"
    "    os.kill(os.getpid(), signal.SIGKILL)"
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(KILLED, id="at a random moment"),
        pytest.param(HALF_SENT, id="while it sends its result", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("forked_workers")
def test_a_killed_worker_costs_nothing_but_time(world, tmp_path, body):
    command = with_plugin(world, tmp_path, methods(dies=body), tmp_path / "out", "dies")
    status, table, told = cli(*command, "--jobs", "1", "--retries", "1")
    assert status == 0, told
    assert told.count("its process was killed by signal 9 (SIGKILL); it is run again") == 1
    assert leftovers(tmp_path / "out") == []
    logs = [log.read_text() for log in (tmp_path / "out" / "logs").glob("*.log")]
    assert sum("attempt 2" in log for log in logs) == 1
    # The second attempt is told from the first by a file; with it, nothing is odd about them.
    command[command.index("--out") + 1] = str(tmp_path / "calm")
    calm = cli(*command)
    assert (calm[0], calm[1]) == (0, table), calm[2]
    assert all_numbers(tmp_path / "calm") == all_numbers(tmp_path / "out")


@pytest.mark.slow
def test_a_method_that_always_crashes_fails_alone(undisturbed, world, tmp_path):
    out = copy(undisturbed[0], tmp_path)
    command = with_plugin(world, tmp_path, methods(crashes=SEGFAULT), out, "crashes")
    status, table, told = cli(*command, "--jobs", "1", "--retries", "0")
    assert status == 1, told
    assert "1 cells run, 3 from before, 1 failed" in told
    assert errors(out)["Odd crashes"] == "its process was killed by signal 11 (SIGSEGV)"
    assert changed(undisturbed[0], out) == []
    assert "model + KUMPR" in table
    log = Path(told.partition("(log: ")[2].partition(")")[0])
    assert "failed: its process was killed by signal 11" in log.read_text()


@pytest.mark.usefixtures("forked_workers")
def test_a_worker_whose_child_outlives_it_is_missed_all_the_same(undisturbed, world, tmp_path):
    out = copy(undisturbed[0], tmp_path)
    command = with_plugin(world, tmp_path, methods(parent=LEAVES_A_CHILD), out, "parent")
    status, _, told = cli(*command, "--jobs", "1", "--retries", "0")
    assert status == 1, told
    assert errors(out)["Odd parent"] == "its process ended with exit status 3"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(STUCK, id="in C code that lets nothing else run"),
        pytest.param(DEAF, id="deaf to signals", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("forked_workers")
def test_a_method_that_hangs_is_stopped_and_fails_alone(undisturbed, world, tmp_path, body):
    out = copy(undisturbed[0], tmp_path)
    command = with_plugin(world, tmp_path, methods(hangs=body), out, "hangs")
    status, _, told = cli(*command, "--jobs", "1", "--cell-timeout", "0.02")
    assert status == 1, told
    assert errors(out)["Odd hangs"] == "it took longer than --cell-timeout allows"
    assert "run again" not in told
    assert leftovers(out) == []


def test_a_timeout_needs_a_process_that_can_be_stopped(world, tmp_path):
    status, table, told = cli(*world.options(tmp_path / "out", "--cell-timeout", "1"))
    assert (status, table) == (2, "")
    assert "--jobs 1" in told


@pytest.mark.slow
def test_a_plugin_edited_while_a_run_goes_on_gives_no_number(undisturbed, world, tmp_path):
    out = copy(undisturbed[0], tmp_path)
    text = methods(edits=EDITS)
    status, _, told = cli(*with_plugin(world, tmp_path, text, out, "edits"), "--jobs", "1")
    assert status == 1, told
    assert "edited since this run began" in errors(out)["Odd edits"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, 130),
        (signal.SIGINT, 130),
    ],
)
def test_workers_die_with_their_driver_and_the_rest_is_computed_later(
    undisturbed, world, tmp_path, number, status
):
    out = copy(undisturbed[0], tmp_path)
    # Two that are missing, so that each has a process of its own whatever the launcher saves.
    command = with_plugin(world, tmp_path, methods(stuck=STUCK, idle=""), out, "stuck,idle")
    run = forked_cli(tmp_path / "driver", *command, "--jobs", "1")
    wait_until((tmp_path / "stuck").exists, of=run)
    workers = processes_of(run.folder)
    assert workers
    run.signal(number)
    ended = run.wait()
    assert ended.status == status, ended.err
    assert ended.out == ""
    if status == 130:
        assert "3 of 5 cells are done, run the same command to go on" in ended.err
    wait_until(lambda: not processes_of(run.folder), seconds=10)
    assert all(error is None for error in errors(out).values())

    fixed = with_plugin(world, tmp_path, methods(stuck="", idle=""), out, "stuck,idle")
    again, _, told = cli(*fixed)
    assert again == 0, told
    assert "2 cells run, 3 from before, 0 failed" in told
    assert leftovers(out) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_in_one_process_says_how_to_go_on(undisturbed, world, tmp_path, number):
    out = copy(undisturbed[0], tmp_path)
    command = with_plugin(world, tmp_path, methods(waits=WAITS), out, "waits")
    run = forked_cli(tmp_path / "driver", *command)
    wait_until((tmp_path / "waits").exists, of=run)
    run.signal(number)
    run.signal(number)  # an impatient user's second one does no harm
    ended = run.wait()
    assert (ended.status, ended.out) == (130, ""), ended.err
    assert "Traceback" not in ended.err
    assert errors(out).keys() == errors(undisturbed[0]).keys()
    (tmp_path / "open").touch()
    status, _, told = cli(*command)
    assert status == 0, told
    assert "1 cells run, 3 from before" in told
    assert leftovers(out) == []


def cells_run(told: str) -> int:
    """How many cells a run says that it computed itself."""
    return int(told.partition(" cells run,")[0].rsplit(maxsplit=1)[-1])


def test_the_same_command_twice_at_once_computes_everything_once(world, tmp_path):
    command = world.options(tmp_path / "out", "--seeds", "1,2,3")
    runs = [forked_cli(tmp_path / name, *command) for name in ("a", "b")]
    ended = [run.wait() for run in runs]
    assert [e.status for e in ended] == [0, 0], [e.err for e in ended]
    assert sum(cells_run(e.err) for e in ended) == 7
    assert len({e.out for e in ended}) == 1
    assert len(errors(tmp_path / "out")) == 3
    assert leftovers(tmp_path / "out") == []
    calm = cli(*world.options(tmp_path / "calm", "--seeds", "1,2,3"))
    assert calm[1] == ended[0].out
    assert all_numbers(tmp_path / "calm") == all_numbers(tmp_path / "out")


def test_a_killed_run_s_cell_is_taken_over_by_another(undisturbed, world, tmp_path):
    out = tmp_path / "out"
    command = with_plugin(world, tmp_path, methods(waits=WAITS), out, "waits")
    first = forked_cli(tmp_path / "first", *command)
    wait_until((tmp_path / "waits").exists, of=first)
    second = forked_cli(tmp_path / "second", *command)
    wait_until(lambda: "waiting for 1 cells" in second.text("err"), of=second)
    other = cli(*world.options(out, "--set", "push.weight=0.5"))  # another grid, meanwhile
    assert other[0] == 0, other[2]
    assert "1 cells run, 2 from before" in other[2]
    status, table, told = cli("report", out)  # somebody only looks
    assert (status, told) == (0, "")
    assert "model + Push" in table
    (tmp_path / "open").touch()
    first.signal(signal.SIGKILL)
    assert first.wait().status == -signal.SIGKILL
    ended = second.wait()
    assert ended.status == 0, ended.err
    assert "4 cells run" in ended.err or "3 cells run" in ended.err
    assert "Odd waits" in ended.out
    assert leftovers(out) == []
    assert changed(undisturbed[0], out) == []


class JumpingClock(datetime):
    """Goes years forwards and back with every look at it."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + timedelta(days=random.choice([-20, -3, 5, 30]) * 365)


def test_a_clock_that_jumps_changes_no_number(undisturbed, world, tmp_path, monkeypatch):
    really = time.time
    monkeypatch.setattr("unlearnbench.running.cell_run.datetime", JumpingClock)
    monkeypatch.setattr(time, "time", lambda: really() + random.uniform(-1e9, 1e9))
    out = tmp_path / "out"
    status, table, told = cli(*world.options(out))
    assert (status, table) == (0, undisturbed[1]), told
    assert all_numbers(out) == all_numbers(undisturbed[0])
    assert all(0 <= result.seconds < 600 for result in Store(out).load_all()[0])
    for path in (out / "cells").iterdir():  # of the future, and of before there were computers
        os.utime(path, (4e9, 4e9) if path.name < "8" else (0, 0))
    assert cli("report", out) == cli("report", undisturbed[0])
    status, again, told = cli(*world.options(out))
    assert (status, again) == (0, table)
    assert "0 cells run, 3 from before" in told


def test_what_the_installed_software_measured_counts_whatever_the_clock_said(monkeypatch):
    from unlearnbench.files.software import harness_sha256, package_versions

    installed = {"packages": package_versions(), "harness": harness_sha256()}
    older, other = (
        {**installed, "harness": "0" * 64},
        {**installed, "packages": {"torch": "1.0"}},
    )

    def measured(software, started_at):
        result = make_result(software={**software, "plugins": {}})
        result.started_at = started_at
        return result

    now = measured(installed, "1999-01-01T00:00:00+00:00")  # by a clock that had been set back
    future = measured(older, "2999-01-01T00:00:00+00:00")
    past = measured(other, "2001-01-01T00:00:00+00:00")
    for results in ([now, future, past], [past, future, now]):
        kept, superseded = newest(results)
        assert kept == [now]
        assert len(superseded) == 2
    assert newest([past, future])[0] == [future]  # of those that are not, the clock is all there is


@pytest.mark.slow
def test_a_driver_killed_at_random_moments_loses_nothing(world, tmp_path):
    command = world.options(tmp_path / "out", "--seeds", "1,2,3")
    for n in range(8):
        run = forked_cli(tmp_path / str(n), *command)
        time.sleep(random.uniform(0.0, 2.0))
        run.signal(signal.SIGKILL)
        run.wait()
        assert Store(tmp_path / "out").load_all()[1] == []
    status, table, told = cli(*command)
    assert status == 0, told
    assert leftovers(tmp_path / "out") == []
    assert cli(*world.options(tmp_path / "calm", "--seeds", "1,2,3"))[1] == table
    assert all_numbers(tmp_path / "calm") == all_numbers(tmp_path / "out")


@pytest.mark.slow
def test_workers_killed_at_random_moments_from_outside_cost_nothing(world, tmp_path):
    command = [*world.options(tmp_path / "out", "--seeds", "1,2,3"), "--jobs", "2"]
    run = forked_cli(tmp_path / "driver", *command, "--retries", "9")
    for _ in range(4):
        wait_until(lambda: workers_of(run), of=run)
        time.sleep(random.uniform(0.0, 8.0))
        for worker in workers_of(run)[:1]:
            os.kill(worker, random.choice([signal.SIGKILL, signal.SIGSEGV]))
    ended = run.wait(300)
    assert ended.status == 0, ended.err
    assert cli(*world.options(tmp_path / "calm", "--seeds", "1,2,3"))[1] == ended.out
    assert all_numbers(tmp_path / "calm") == all_numbers(tmp_path / "out")


def workers_of(run) -> list[int]:
    """The worker processes of a fork that live."""
    found = processes_of(run.folder)
    return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
