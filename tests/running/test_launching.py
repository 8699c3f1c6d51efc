"""Who runs which cell: claims, shares, retries, and what a person is told meanwhile."""

import errno
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launching_cases import Script, cell, run
from launching_cases import quick as quick
from stored_cases import make_result

from unlearnbench.errors import UserError
from unlearnbench.models.devices.schedule import Schedule
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.results.claims import Claims
from unlearnbench.results.store import Store
from unlearnbench.running import progress
from unlearnbench.running.launching import grid, worker
from unlearnbench.running.launching.grid import in_order, share_of
from unlearnbench.running.launching.launcher import HowToRun, Lost
from unlearnbench.running.launching.local_processes import _Worker
from unlearnbench.running.token_bounds import (
    examination_tokens,
    forward_tokens,
    training_tokens,
)

# Holds a claim until its standard input closes.
HOLDER = """
import sys
from pathlib import Path
from unlearnbench.results.claims import Claims

print(Claims(Path(sys.argv[1])).take("k"), flush=True)
sys.stdin.read()
"""


def holder(folder):
    command = [sys.executable, "-c", HOLDER, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def sized(name, n_parameters=10, max_epochs=0, **schedule):
    """A cell of four rows as far as its cost goes; a reference row has no epochs."""
    return SimpleNamespace(
        title=name,
        role=name if name in ("before", "dedup") else "method",
        run="0",
        limit=None,
        method="icu" if name == "icu" else "kumpr",
        settings={"max_epochs": max_epochs, "batch_size": 2} if max_epochs else {},
        attack=None,
        noise=None,
        is_trained=name not in ("before", "dedup"),
        key=name,
        model_key=name,
        protocol=SimpleNamespace(sequence="prefix+suffix"),
        model=SimpleNamespace(
            n_parameters=n_parameters, strategy=Strategy(schedule=Schedule(**schedule))
        ),
        data=SimpleNamespace(
            doc_ids=lambda _run, _limit: range(4),
            request=SimpleNamespace(pairing="nearest"),
            source=SimpleNamespace(unseen=None),
        ),
        stop="calibrated",
    )


def test_the_bound_of_tokens_knows_what_a_row_needs():
    plain, wrapped, drawing = (sized("kumpr", 10, 9) for _ in range(3))
    wrapped.method = "kumpr+sam"
    drawing.data.request.pairing = "random"
    refusing = sized("kumpr", 10, 9)
    refusing.method = "idk_dpo"
    more = [forward_tokens(cell) - forward_tokens(plain) for cell in (wrapped, drawing, refusing)]
    assert more == [n * 4 * 100 * 9 for n in (3, 2, 2)]


def test_the_bound_of_tokens_knows_how_a_run_ends():
    def bound(n_examined, n_epochs):
        return training_tokens(4, 100, n_epochs) + examination_tokens(4, 100, n_examined)

    steps = {"until": "steps", "max_steps": 5}  # two in an epoch of all rows
    assert forward_tokens(sized("kumpr", 10, 9)) == bound(9, 9)
    assert forward_tokens(sized("kumpr", 10, 9, until="epochs")) == bound(9, 9)
    assert forward_tokens(sized("kumpr", 10, 9, **steps)) == bound(3, 3)
    assert forward_tokens(sized("icu", 10, 9, **steps)) == bound(5, 3)  # it may leave rows out
    assert forward_tokens(sized("before", **steps)) == bound(0, 0)
    by_row = sized("kumpr", 10, 9)
    by_row.stop, by_row.data.source.unseen = "rows", range(64)
    # the rows and the unseen ones, before the first of nine epochs and after each
    assert forward_tokens(by_row) == bound(9, 9) + (4 + 64) * 100 * 10
    budget = {"until": "budget", "utility_budget": 1.1, "budget_every": 5}
    # before the first of 18 steps, after three of them, and at nine epochs' ends
    looks = 1 + 3 + 9
    assert forward_tokens(sized("kumpr", 10, 9, **budget)) == bound(9, 9) + looks * 16 * 512


@pytest.mark.parametrize(
    ("launcher", "jobs", "order"),
    [
        ("local", 2, ["large", "icu", "kl", "dedup", "before"]),
        ("ray", 0, ["large", "icu", "kl", "dedup", "before"]),
        ("local", 1, ["before", "dedup", "icu", "kl", "large"]),
        ("local", 0, ["before", "dedup", "icu", "kl", "large"]),
    ],
)
def test_what_takes_longest_goes_first_where_several_go_at_a_time(launcher, jobs, order):
    cells = [sized("before"), sized("dedup"), sized("icu", 10, 3), sized("kl", 10, 3)]
    cells.append(sized("large", 99, 3))
    how = HowToRun(launcher, jobs, (), None, 0, None, None)
    assert [cell.title for cell in in_order(cells, how)] == order


def test_attacks_come_behind_the_cells_whose_models_they_take():
    cells = [sized("before"), sized("icu", 10, 3), sized("large", 99, 3)]
    cells[2].attack = SimpleNamespace(
        name="mixing", settings={"alphas": (0.0, 1.0)}, base="none", unlearned_by=""
    )
    cells[2].models, cells[2].model_key = None, "none"
    how = HowToRun("local", 2, (), None, 0, None, None)
    assert [cell.title for cell in in_order(cells, how)] == ["icu", "before", "large"]


@pytest.mark.parametrize("end", ["kill", "close"])
def test_a_claim_ends_with_its_process_however_that_ends(tmp_path, end):
    ours = Claims(tmp_path)
    with holder(tmp_path) as other:
        assert other.stdout.readline() == "True\n"
        assert not ours.take("k")
        assert ours.take("another")
        other.kill() if end == "kill" else other.stdin.close()
    assert ours.take("k")


def test_a_released_claim_can_be_taken_and_leaves_nothing(tmp_path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take("k")
    assert first.take("k")
    assert not second.take("k")
    first.release("k")
    assert second.take("k")
    assert not first.take("k")
    second.release_all()
    assert list(tmp_path.iterdir()) == []


def test_whoever_waits_with_the_file_open_does_not_get_a_removed_claim(tmp_path, monkeypatch):
    first, late, third = Claims(tmp_path), Claims(tmp_path), Claims(tmp_path)
    assert first.take("k")
    opened, really = [], os.open

    def open_then_release(*arguments):
        descriptor = really(*arguments)
        if not opened:  # between the opening and the locking, the holder goes
            opened.append(descriptor)
            first.release("k")
            assert third.take("k")
        return descriptor

    monkeypatch.setattr(os, "open", open_then_release)
    assert not late.take("k")


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "claims").write_text("")
    with pytest.raises(UserError, match="choose another --out"):
        Claims(tmp_path / "claims").take("k")


@given(n_cells=st.integers(0, 40), n_shards=st.integers(1, 12))
def test_shards_part_a_grid(n_cells, n_shards):
    cells = tuple(range(n_cells))
    shares = [share_of(cells, f"{i}/{n_shards}") for i in range(1, n_shards + 1)]
    assert sorted(sum(shares, ())) == list(cells)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "a/b", "1/0", "-1/2", "1/2/3", "", "¹/²"])
def test_a_shard_that_is_none(text):
    with pytest.raises(UserError, match=r"e\.g\. --shard 1/4"):
        share_of((1, 2), text)


def test_a_lost_cell_is_run_again_and_then_failed(tmp_path, quick):
    good, bad, hanging = (make_result(seed=seed) for seed in (1, 2, 3))
    quick.update({r.key: r for r in (good, bad, hanging)})
    script = Script(
        {
            good.key: [Lost("gone"), good],
            bad.key: [Lost("gone"), Lost("gone"), bad],
            hanging.key: [Lost("too long", again=False)],
        }
    )
    outcome = run(tmp_path, script, [cell(r) for r in (good, bad, hanging)])
    errors = {key: result.error for key, result in outcome.results.items()}
    assert errors == {good.key: None, bad.key: "gone (2 attempts)", hanging.key: "too long"}
    assert outcome.n_failed == 2
    assert {r.key for r in Store(tmp_path).load_all()[0]} == set(errors)
    assert "attempt 2" in (tmp_path / "logs" / f"{good.key}.log").read_text()


@pytest.mark.parametrize("is_killed", [True, False])
def test_want_of_memory_is_told_of_a_process_that_was_killed_whatever_its_words(
    tmp_path, quick, monkeypatch, is_killed
):
    monkeypatch.setattr(grid, "out_of_memory_advice", lambda error, cell: "try a smaller one")
    result = make_result()
    quick[result.key] = result
    lost = Lost("its method says: signal 9", is_killed=is_killed)
    outcome = run(tmp_path, Script({result.key: [lost]}), [cell(result)], retries=0)
    told = "try a smaller one" if is_killed else "its method says: signal 9"
    assert outcome.results[result.key].error == told


class Process:
    """A worker process as its parent sees it, dead as soon as it is killed."""

    def __init__(self, exitcode):
        self.exitcode = exitcode

    def is_alive(self):
        return False

    def kill(self):
        pass

    def join(self, timeout=None):
        pass


@pytest.mark.parametrize(
    ("exitcode", "reason", "is_killed"),
    [
        (-9, "its process was killed by signal 9 (SIGKILL)", True),
        (-11, "its process was killed by signal 11 (SIGSEGV)", False),
        (9, "its process ended with exit status 9", False),
    ],
)
def test_how_a_worker_ended(exitcode, reason, is_killed):
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    lost = _Worker(Process(exitcode), ours, None).outcome(lambda record: None, None)
    assert lost == Lost(reason, is_killed=is_killed)


def test_a_worker_is_given_up_though_a_child_of_its_holds_the_unread_pipe():
    ours, theirs = multiprocessing.Pipe()  # as inherited by a child that does not read
    worker_ = _Worker(Process(-9), ours, None)
    worker_.begin(bytes(10**7))  # more than any pipe holds
    ending = threading.Thread(target=worker_.kill, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()
    assert not worker_.is_usable
    theirs.close()
    worker_.sender.join(20)
    assert not worker_.sender.is_alive()
    ours.close()


def test_a_cell_of_another_run_is_waited_for(tmp_path, quick):
    ours, theirs = (make_result(seed=seed) for seed in (1, 2))
    store, claims = Store(tmp_path), Store(tmp_path).claims()
    assert claims.take(theirs.key)

    class Meanwhile(Script):
        def wait(self, seconds):
            if not self.running:  # nothing of ours is left: now the other run ends
                store.save(theirs)
                claims.release(theirs.key)
            return super().wait(seconds)

    script = Meanwhile({ours.key: [ours]})
    outcome = run(tmp_path, script, [cell(theirs), cell(ours)])
    assert script.started == [ours.key]
    assert (set(outcome.results), outcome.n_cached) == ({ours.key, theirs.key}, 1)


def test_a_cell_of_a_run_that_died_is_taken_over(tmp_path, quick):
    result = make_result()
    with holder(tmp_path / "claims") as other:
        assert other.stdout.readline() == "True\n"
        other.kill()
    (tmp_path / "claims" / "k").rename(tmp_path / "claims" / result.key)
    script = Script({result.key: [result]})
    assert run(tmp_path, script, [cell(result)]).results == {result.key: result}


def test_no_more_is_started_than_there_is_room_for(tmp_path, quick):
    results = [make_result(seed=seed) for seed in range(5)]
    script = Script({r.key: [r] for r in results}, n_slots=2)
    assert len(run(tmp_path, script, [cell(r) for r in results]).results) == 5


def test_what_cannot_be_stored_is_kept_elsewhere_and_told(tmp_path, quick, caplog, monkeypatch):
    results = [make_result(seed=seed) for seed in range(3)]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cells").write_text("in the way")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
    script = Script({r.key: [r] for r in results})
    with pytest.raises(UserError, match="cannot write"), caplog.at_level(logging.ERROR):
        run(tmp_path / "out", script, [cell(r) for r in results])
    assert script.started == [results[0].key]
    command = caplog.text.partition("when there is room: ")[2].splitlines()[0]
    (tmp_path / "out" / "cells").unlink()
    (tmp_path / "out" / "cells").mkdir()
    subprocess.run(command, shell=True, check=True)
    assert Store(tmp_path / "out").load(results[0].key) == results[0]


@given(st.floats(0, 1e6))
def test_durations_are_said_to_two_units(seconds):
    text = progress.duration(seconds)
    unit = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    words = text.split()
    told = sum(float(n) * unit[u] for n, u in zip(words[::2], words[1::2], strict=True))
    finest = unit[words[-1]] if len(words) == 4 or words[1] != "d" else 3600
    assert abs(told - seconds) <= max(finest, 0.5 if words[1] == "s" else 30)


def test_time_left_is_that_of_the_cells_done(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tally = progress.Progress(total=5)
    assert tally.seconds_left is None
    tally.start("a")
    tally.start("b")
    now[0] += 60
    tally.finish("a", "", failed=True)
    assert tally.seconds_left == 240
    assert tally.state() == "1 running, 1 failed, about 4 min left"


def test_a_worker_keeps_to_the_gpus_that_its_run_may_see(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8f")
    assert [worker._name_of(gpu) for gpu in (0, 1)] == ["2", "GPU-8f"]
    for nothing_hidden in ("", None):
        if nothing_hidden is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing_hidden)
        assert worker._name_of(1) == "1"


def test_a_claim_waits_while_no_more_files_can_be_opened(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    claims = Claims(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert not claims.take("k")
    assert claims.take("k")


def test_cells_of_another_run_say_nothing_of_ones_own_speed(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tally = progress.Progress(total=10)
    for title in "abc":
        tally.finish(title, "", failed=False)
    assert tally.seconds_left is None
    tally.start("d")
    now[0] += 10
    tally.finish("d", "", failed=False)
    assert tally.seconds_left == 60
