"""Disks that are full or read-only: nothing half-written, nothing lost without a word.

Real small disks where this process may mount one, and system calls that fail everywhere else.
"""

import errno
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from fault_cases import (
    changed,
    copy,
    errors,
    fill,
    forked,
    leftovers,
    make_read_only,
    methods,
    own_mounts,
    small_disk,
    with_plugin,
)
from fault_cases import needs_mounts as needs_mounts
from fault_cases import undisturbed as undisturbed
from fault_cases import world as world
from launching_cases import Script, cell, quick, run  # noqa: F401 - a fixture
from stored_cases import make_result
from tiny import all_numbers, cli

from unlearnbench.errors import UserError
from unlearnbench.results.claims import Claims
from unlearnbench.results.store import Store

pytest_plugins = ["fault_cases"]

FULL = os.strerror(errno.ENOSPC)
# Fills the disk of the results while it unlearns.
FILLS = """
if is_first("fills"):
    from fault_cases import fill
    fill(Path(os.environ["UNLEARNBENCH_TEST_GATE"]) / "disk")
"""


def mounted(tmp_path: Path, work) -> dict:
    """What work says, done in a fork that may mount things; it must not fail."""

    def report() -> int:
        own_mounts()
        (tmp_path / "said").write_text(json.dumps(work()))
        return 0

    ended = forked(tmp_path / "fork", report).wait()
    assert ended.status == 0, ended.err
    return json.loads((tmp_path / "said").read_text())


def put_back(told: str) -> None:
    """Run the command that a run gives to put a rescued result back."""
    command = told.partition("when there is room: ")[2].splitlines()[0]
    assert command.startswith("mv ")
    subprocess.run(command, shell=True, check=True)


def test_a_disk_that_fills_up_costs_no_result(
    needs_mounts, undisturbed, world, tmp_path, monkeypatch
):
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    plugin = methods(first="", fills=FILLS, last="")
    command = with_plugin(world, tmp_path, plugin, disk / "out", "first,fills,last")

    def work():
        small_disk(disk, "size=2m")
        full = cli(*command)
        kept = errors(disk / "out")
        half = [p.name for p in (disk / "out").glob("cells/.*")]
        report = cli("report", disk / "out")
        again_full = cli(*command)
        (disk / "ballast").unlink()
        put_back(full[2])
        done = cli(*command)
        left, other = leftovers(disk / "out"), changed(undisturbed[0], disk / "out")
        return [full, kept, half, report, again_full, done, left, other]

    full, kept, half, report, again_full, done, left, other = mounted(tmp_path, work)
    assert full[:2] == [2, ""]
    assert (
        f"No space left on device; choose another --out; the result is kept in {elsewhere}"
        in (full[2])
    )
    assert "Traceback" not in full[2]
    assert kept == {"model (before unlearning)": None, "Odd first": None}
    assert half == left == []
    assert report[0] == 0
    assert "Odd first" in report[1]
    assert again_full[:2] == [2, ""]
    assert FULL in again_full[2]
    assert done[0] == 0, done[2]
    assert "3 cells run, 3 from before, 0 failed" in done[2]  # the rescued one is from before
    assert other == []


@pytest.mark.parametrize("options", ["size=64k", "size=1m,nr_inodes=2"])
def test_a_disk_that_is_full_is_told_before_anything_runs(needs_mounts, world, tmp_path, options):
    disk = tmp_path / "disk"
    command = world.options(disk / "out")

    def work():
        small_disk(disk, options)
        fill(disk)
        return cli(*command)

    status, table, told = mounted(tmp_path, work)
    assert (status, table) == (2, "")
    assert FULL in told
    assert "choose another --out" in told
    assert told.count("\n") == 1


def test_only_the_log_and_the_cache_do_not_fit(needs_mounts, undisturbed, world, tmp_path):
    """What a run can do without is no reason to end it."""
    out, command = tmp_path / "out", world.options(tmp_path / "out")
    (out / "logs").mkdir(parents=True)

    def work():
        for place in (out / "logs", tmp_path / "cache"):
            small_disk(place, "size=16k")
            fill(place)
        os.environ["UNLEARNBENCH_CACHE"] = str(tmp_path / "cache")
        return cli(*command)

    status, table, told = mounted(tmp_path, work)
    assert (status, table) == (0, undisturbed[1]), told
    assert all_numbers(out) == all_numbers(undisturbed[0])


def test_a_report_that_does_not_fit_leaves_the_old_one(needs_mounts, undisturbed, tmp_path):
    disk = tmp_path / "disk"

    def work():
        small_disk(disk, "size=64k")
        (disk / "table.md").write_text("the old one")
        fill(disk)
        one = cli("report", undisturbed[0], "-o", disk / "table.md")
        every = cli("report", undisturbed[0], "-o", f"{disk}/all/")
        files = sorted(str(p.relative_to(disk)) for p in disk.rglob("*") if p.is_file())
        return [one, every, files, (disk / "table.md").read_text()]

    one, every, files, text = mounted(tmp_path, work)
    for status, shown, told in (one, every):
        assert (status, shown) == (2, "")
        assert FULL in told
        assert told.count("\n") == 1
    assert text == "the old one"
    assert [name for name in files if "tmp" in name] == []


def test_many_results_are_read_from_a_full_and_a_read_only_disk(needs_mounts, tmp_path):
    disk = tmp_path / "disk"

    def work():
        small_disk(disk, "size=4m")
        store = Store(disk)
        for seed in range(120):
            store.save(make_result(seed=seed))
        fill(disk)
        full = cli("report", disk)
        make_read_only(disk)
        return [full, cli("report", disk)]

    full, read_only = mounted(tmp_path, work)
    assert full[0] == 0, full[2]
    assert read_only == full


def test_the_nano_world_does_not_fit_into_the_cache(needs_mounts, tmp_path):
    cache = tmp_path / "cache"

    def work():
        small_disk(cache, "size=256k")
        os.environ["UNLEARNBENCH_CACHE"] = str(cache)
        return [cli("nano", "info"), [p.name for p in cache.iterdir()]]

    (status, _, told), left = mounted(tmp_path, work)
    assert status == 2
    assert told.startswith("unlearnbench: error: cannot write ")
    assert str(cache) in told
    assert told.count("\n") == 1
    assert left == []


def test_a_read_only_folder_is_told_at_once_and_can_be_reported(
    needs_mounts, undisturbed, world, tmp_path
):
    out = copy(undisturbed[0], tmp_path)
    command = world.options(out, "--seeds", "1")

    def work():
        make_read_only(out)
        return [cli(*command), cli("report", out)]

    ran, report = mounted(tmp_path, work)
    assert ran[:2] == [2, ""]
    assert "choose another --out" in ran[2]
    assert ran[2].count("\n") == 1
    assert report == list(cli("report", undisturbed[0]))


def test_a_read_only_cells_folder_is_told_before_anything_runs(
    needs_mounts, undisturbed, world, tmp_path
):
    out = copy(undisturbed[0], tmp_path)
    command = world.options(out, "--seeds", "1")

    def work():
        make_read_only(out / "cells")
        return cli(*command)

    status, table, told = mounted(tmp_path, work)
    assert (status, table) == (2, "")
    assert "cells" in told
    assert "choose another --out" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("in_the_way", ["out", "out/cells", "out/claims", "out/experiments"])
def test_a_file_in_the_way_is_told_and_left_alone(world, tmp_path, in_the_way):
    path = tmp_path / in_the_way
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    status, table, told = cli(*world.options(tmp_path / "out"))
    assert (status, table) == (2, "")
    assert "choose another --out" in told
    assert str(tmp_path / "out") in told
    assert "Traceback" not in told
    assert path.read_text() == "mine"
    assert list((tmp_path / "out").glob("cells/*.json")) == []


def test_a_log_folder_that_is_a_file_stops_nobody(undisturbed, world, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "logs").write_text("mine")
    status, table, told = cli(*world.options(tmp_path / "out"))
    assert (status, table) == (0, undisturbed[1]), told


def test_no_folder_can_be_made_there(world):
    status, table, told = cli(*world.options(Path("/proc/results")))
    assert (status, table) == (2, "")
    assert "choose another --out" in told


def test_a_missing_parent_is_made(undisturbed, world, tmp_path):
    status, table, told = cli(*world.options(tmp_path / "a" / "b" / "c", methods="kumpr,push"))
    assert (status, table) == (0, undisturbed[1]), told


class FullAfter:
    """`os.fsync` on a disk with room for a few results: then even what was written is gone."""

    def __init__(self, n_results: int, folder: Path) -> None:
        self.left, self.folder = n_results, str(folder)

    def __call__(self, descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        is_result = ".json." in path and "/runs/" not in path
        if path.startswith(self.folder) and is_result:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, FULL)


def test_a_write_that_fails_anywhere_keeps_the_result_elsewhere(
    undisturbed, world, tmp_path, monkeypatch
):
    out, elsewhere = tmp_path / "out", tmp_path / "else where"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FullAfter(1, out))
        status, table, told = cli(*world.options(out))
    assert (status, table) == (2, "")
    assert FULL in told
    assert len(errors(out)) == 1
    assert leftovers(out) == []
    put_back(told)
    status, table, told = cli(*world.options(out))
    assert (status, table) == (0, undisturbed[1])
    assert "1 cells run, 2 from before" in told
    assert all_numbers(out) == all_numbers(undisturbed[0])


def test_where_nothing_can_be_written_at_all_it_says_so(world, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(os, "fsync", FullAfter(1, tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    status, table, told = cli(*world.options(out))
    assert (status, table) == (2, "")
    assert "is lost" in told
    assert "Traceback" not in told
    assert len(errors(out)) == 1
    assert leftovers(out) == []


class TwoAtOnce(Script):
    """Two cells run when the third cannot be claimed; they end one after the other."""

    def wait(self, seconds):
        ended, self.running = self.running[:1], self.running[1:]
        later, self.running = self.running, ended
        found = super().wait(seconds)
        self.running = later
        return found


def test_what_runs_while_no_claim_can_be_made_is_kept(tmp_path, quick, monkeypatch):  # noqa: F811
    results = [make_result(seed=seed) for seed in range(4)]
    take = Claims.take

    def take_two(claims, key):
        if len(claims._held) == 2:
            raise UserError(f"cannot write {key}: {FULL}; choose another --out")
        return take(claims, key)

    monkeypatch.setattr(Claims, "take", take_two)
    script = TwoAtOnce({r.key: [r] for r in results}, n_slots=3)
    with pytest.raises(UserError, match=FULL):
        run(tmp_path, script, [cell(r) for r in results])
    assert len(script.started) == 2
    assert {r.key for r in Store(tmp_path).load_all()[0]} == set(script.started)
    assert not list((tmp_path / "claims").iterdir())


@pytest.mark.parametrize(("stream", "status"), [("stdout", 2), ("stderr", 2)])
def test_a_full_disk_under_the_answer_or_the_talk_loses_no_result(
    undisturbed, world, tmp_path, stream, status
):
    command = world.options(tmp_path / "out")

    def to_nowhere() -> int:
        from unlearnbench.cli import status_of

        number = {"stdout": 1, "stderr": 2}[stream]
        os.dup2(os.open("/dev/full", os.O_WRONLY), number)
        return status_of(command)

    ended = forked(tmp_path / "fork", to_nowhere).wait()
    assert ended.status in (0, status), ended.err
    assert "Traceback" not in ended.err
    if stream == "stdout":
        assert ended.status == 2
        assert FULL in ended.err
    again = cli(*command)
    assert again[:2] == (0, undisturbed[1])
    if stream == "stdout":
        assert "0 cells run, 3 from before" in again[2]
