"""What the tests of faults share: one tiny world, misbehaving plugins, forked runs, small disks.

A test names this module in `pytest_plugins`; nothing here is used by itself.
PYTEST_DONT_REWRITE: the test has imported it before pytest can.
"""

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
from tiny import cli, numbers

from unlearnbench.cli import status_of
from unlearnbench.results.store import Store

MARK = "UNLEARNBENCH_TEST_OF_FAULTS"  # tells the processes of one run from all others
GATE = "UNLEARNBENCH_TEST_GATE"  # the folder of what misbehaving plugins wait for and leave

PLUGIN = '''
"""A method that misbehaves."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.results.record import EpochRecord, UnlearnTrace
from unlearnbench.unlearning.gradient_method import GradientMethod


def is_first(name):
    """Whether nobody has asked this before, in any process of the test."""
    try:
        (Path(os.environ["UNLEARNBENCH_TEST_GATE"]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
'''
METHOD = '''

@register
@dataclass(kw_only=True)
class Odd_{name}(GradientMethod):
    """{name}."""

    name = "{name}"
    label = "Odd {name}"
    learning_rate: float = setting(1e-3, "Adam's step size")

    def unlearn(self, model, forget_set, examiner):
        {body}
        return super().unlearn(model, forget_set, examiner)

    def loss(self, batch):
        return {{"forget": -batch.target_nll}}
'''


def methods(**bodies: str) -> str:
    """A plugin file; each method is gradient ascent with something odd done first."""
    return PLUGIN + "".join(
        METHOD.format(name=name, body=body.strip().replace("\n", "\n        "))
        for name, body in bodies.items()
    )


@pytest.fixture(scope="session")
def world_files(tmp_path_factory) -> tiny.TinyWorld:
    """The files of a run."""
    return tiny.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def world(world_files, tmp_path) -> Iterator[tiny.TinyWorld]:
    """The files of a run; plugins that it loads are gone after the test."""
    with tiny.at_home(world_files), pytest.MonkeyPatch.context() as patch:
        patch.setenv(GATE, str(tmp_path))
        yield world_files
    for run in list(_running.values()):  # of a test that failed while they ran
        run.signal(signal.SIGKILL)
        run.wait()


@pytest.fixture(scope="session")
def undisturbed(world_files, tmp_path_factory) -> tuple[Path, str]:
    """The folder and the table of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed")
    with tiny.at_home(world_files):
        status, table, told = cli(*world_files.options(out))
    assert status == 0, told
    return out, table


def with_plugin(world: tiny.TinyWorld, folder: Path, text: str, out: Path, names: str) -> list[str]:
    """The command line of the named methods of a plugin file, then KUMPR and Push."""
    file = folder / "odd.py"
    file.write_text(text)
    chosen = ",".join(filter(None, (names, "kumpr", "push")))
    return [*world.options(out, methods=chosen), "--plugin", str(file)]


def errors(out: Path) -> dict[str, str | None]:
    """Why each row of a folder failed, by label; every file must be a result."""
    results, damages = Store(out).load_all()
    assert damages == []
    return {r.label.removeprefix("model + "): r.error for r in results}


def cells_of(out: Path) -> dict[str, dict]:
    """Every result by file name, without the clock's numbers and its place in the table."""
    found = {}
    for path in sorted((out / "cells").glob("*.json")):
        found[path.name] = numbers(json.loads(path.read_text()))
        del found[path.name]["position"]
    return found


def changed(undisturbed: Path, out: Path) -> list[str]:
    """Results of the undisturbed run that are missing or other ones here."""
    before, after = cells_of(undisturbed), cells_of(out)
    assert len(before) == 3
    return [name for name in before if before[name] != after.get(name)]


def leftovers(out: Path) -> list[str]:
    """Files that no finished run leaves behind."""
    return [p.name for p in out.glob("*/.*")] + [p.name for p in out.glob("claims/*")]


@dataclass
class Ended:
    """What a forked process left: exit status (negative: signal), stdout and stderr."""

    status: int
    out: str
    err: str


@dataclass
class Fork:
    """A run in a copy of this process, which has torch loaded already."""

    pid: int
    folder: Path

    def text(self, name: str) -> str:
        """What it has written so far."""
        return (self.folder / name).read_text(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 120) -> Ended:
        """Its end; kills it and fails if that does not come."""
        limit = time.monotonic() + seconds
        while (found := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > limit:
                self.signal(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                _running.pop(self.pid)
                raise AssertionError(f"still running; stderr: {self.text('err')}")
            time.sleep(0.02)
        _running.pop(self.pid, None)
        return Ended(os.waitstatus_to_exitcode(found[1]), self.text("out"), self.text("err"))


_running: dict[int, Fork] = {}


def forked(folder: Path, work: Callable[[], int]) -> Fork:
    """Do work in a fork whose stdout and stderr are files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("out", "err"):
        (folder / name).touch()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        _running[pid] = Fork(pid, folder)
        return _running[pid]
    status = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ[MARK] = str(folder)
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_APPEND), number)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def forked_cli(folder: Path, *arguments: object) -> Fork:
    """A command line in a fork."""
    return forked(folder, lambda: status_of([str(a) for a in arguments]))


@pytest.fixture
def forked_workers(monkeypatch) -> None:
    """Worker processes are forks, with torch loaded: how new ones start is other tests' subject."""
    context = multiprocessing.get_context("fork")

    def process(target, args):
        return context.Process(target=_with_own_streams, args=(target, args))

    forking = SimpleNamespace(Pipe=context.Pipe, Process=process)
    monkeypatch.setattr(
        "unlearnbench.running.launching.local_processes.multiprocessing",
        SimpleNamespace(get_context=lambda _: forking),
    )


def _with_own_streams(target: Callable[..., None], arguments: tuple) -> None:
    """Those of the process, which a worker redirects, not what a test collects them in."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    target(*arguments)


def on_two_ranks(folder: Path, work: Callable[[], int]) -> list[Ended]:
    """Do work in two forks, each told its rank as by a launcher of processes."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(one.getsockname()[1])}

    def as_rank(rank: int) -> int:
        of_rank = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        os.environ.update(place | of_rank | {"LOCAL_WORLD_SIZE": "2"})
        return work()

    runs = [forked(folder / f"rank{rank}", partial(as_rank, rank)) for rank in range(2)]
    return [run.wait(1800) for run in runs]


def run_pytest(folder: Path, told: Path, *arguments: str, path: Path | None = None) -> Ended:
    """Run pytest as somebody else does: in their folder, without our configuration and plugins."""

    def work() -> int:
        os.chdir(folder)
        if path is not None:
            sys.path.insert(0, str(path))
        for variable in [name for name in os.environ if name.startswith("PYTEST_")]:
            del os.environ[variable]
        return int(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]))

    return forked(told, work).wait(1800)


def processes_of(folder: Path) -> list[int]:
    """The processes that a fork has started and that live."""
    found, mark = [], f"{MARK}={folder}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_dead = (place / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            if mark in (place / "environ").read_bytes().split(b"\0") and not is_dead:
                found.append(int(place.name))
    return found


def wait_until(true: Callable[[], object], seconds: float = 120, of: Fork | None = None) -> None:
    """Wait for something to come true; fails if it does not, or the fork ends first."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, of and of.text("err")
        if of is not None:
            found = os.waitid(os.P_PID, of.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            assert found is None, of.text("err")
        time.sleep(0.02)


# Of Linux's sched.h and mount.h.
_NEW_MOUNTS, _NEW_USERS = 0x20000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _PRIVATE, _RECURSIVE = 1, 32, 4096, 1 << 18, 16384


def own_mounts() -> None:
    """Let this process, a fork, mount what nobody else sees; raises OSError where it may not."""
    libc = _libc()
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_MOUNTS) and libc.unshare(_NEW_MOUNTS | _NEW_USERS) == 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount(None, "/", None, _PRIVATE | _RECURSIVE)


def small_disk(folder: Path, options: str) -> None:
    """Mount a memory disk of a few kilobytes or files on a folder."""
    folder.mkdir(exist_ok=True)
    _mount("tmpfs", str(folder), "tmpfs", 0, options)


def make_read_only(folder: Path) -> None:
    """Make a folder read-only, for root too."""
    _mount(str(folder), str(folder), None, _BIND)
    _mount(None, str(folder), None, _REMOUNT | _BIND | _READ_ONLY)


def fill(folder: Path) -> Path:
    """Write a file until the disk is full."""
    path = folder / "ballast"
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass
    return path


@pytest.fixture
def needs_mounts(tmp_path) -> None:
    """Skips a test where a process may not mount anything of its own."""

    def attempt() -> int:
        own_mounts()
        small_disk(tmp_path / "trial", "size=16k")
        return 0

    ended = forked(tmp_path / "attempt", attempt).wait()
    if ended.status:
        pytest.skip(f"no mounts of one's own here: {ended.err.strip().splitlines()[-1]}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    texts = [t.encode() if t else None for t in (source, target, kind, options)]
    if _libc().mount(*texts[:3], ctypes.c_ulong(flags), texts[3]):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {target}: {os.strerror(number)}")


def copy(source: Path, target: Path) -> Path:
    import shutil

    return Path(shutil.copytree(source, target / "copy"))
