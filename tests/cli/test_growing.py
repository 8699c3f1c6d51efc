"""The first look: what `run` compares when it is asked for nothing, and the table that grows."""

import io
import os

import pytest
from golden_results import result
from rich.console import Console

from unlearnbench import cli
from unlearnbench.cli import growing
from unlearnbench.running.launching.requested import RequestedRun
from unlearnbench.running.progress import progress


def text_of(drawn) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(drawn)
    return console.file.getvalue()


@pytest.mark.parametrize("options", [{}, {"out": "there", "jobs": 0}])
def test_who_asks_for_nothing_gets_a_first_look(options):
    requested = RequestedRun.of(options)
    methods = [cell.method for cell in requested.plan.cells if cell.role == "method"]
    assert requested.named.name == "nano-first"
    assert methods == ["kumpr", "dpo", "kl", "llmu", "icu"]
    assert {(cell.run, cell.limit, cell.task_limit) for cell in requested.plan.cells} == {
        ("0", 16, 12)
    }


def test_an_option_that_says_what_to_compare_is_no_first_look():
    requested = RequestedRun.of({"methods": ["icu"], "jobs": 0})
    assert requested.named is None
    assert {cell.limit for cell in requested.plan.cells} == {None}


def test_the_table_shows_the_means_so_far_and_no_failure():
    first, second = result("NEO + ICU", run="0"), result("NEO + ICU", run="1")
    first.scores["forgetting"]["el10"].value, second.scores["forgetting"]["el10"].value = 0.1, 0.3
    broken = result("NEO + KL", method="kl", status="failed", scores={})
    lines = text_of(growing.drawn([first, second, broken])).splitlines()
    [row] = [line for line in lines if line.startswith("NEO + ICU")]
    assert "20.0" in row.split()
    assert not any("KL" in line for line in lines)
    assert growing.drawn([broken]) is None


def test_a_large_grid_s_table_is_drawn_seldom(monkeypatch):
    now, drawings = [0.0], []

    def draw(results):
        drawings.append(len(results))
        now[0] += 1  # a second

    monkeypatch.setattr(growing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(growing, "drawn", draw)
    show = growing.GrowingTable()
    for n in range(1, 201):
        show([None] * n)
        now[0] += 1
    assert drawings[0] == 1
    assert 1 < len(drawings) < 8  # 2% of some 200 seconds


def test_a_terminal_shows_it_over_the_bars(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(2, preview=lambda results: "so far " * len(results)) as display:
        display.start("first")
        display.finish("first", "ok", failed=False)
        display.show([1])
        display.bar.refresh()
    assert "so far " in terminal.getvalue()


def test_torch_s_threads_wait_passively_unless_told_otherwise(monkeypatch, capsys):
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("PASSIVE", "7")
