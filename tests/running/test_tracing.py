"""`--profile`: a trace that a viewer opens, with every phase in it, and the same results."""

import gzip
import json
from pathlib import Path

import pytest
import tiny
import torch
from tiny import all_numbers, cli

from unlearnbench.models.devices.meter import Meter
from unlearnbench.running.tracing import Trace, recording

KNOWN = {"X", "M", "s", "f", "t", "i", "C"}  # kinds of event that a Chrome trace may hold


def traced(folder: Path, module_calls: int = 1000) -> list[dict]:
    """The events of a trace of two phases, one inside the other, and of what is in neither."""
    network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
    meter, trace = Meter(), Trace(module_calls)
    with trace.of("cell"):
        network(torch.ones(1, 8))
        with meter.phase("outer"):
            network(torch.ones(1, 8)).sum().backward()
            with meter.phase("inner"):
                for _ in range(100):
                    torch.ones(8).cumsum(0)
                    network(torch.ones(1, 8))
            torch.ones(8).flip(0)
    trace.write(folder / "trace.json.gz")
    return read(folder / "trace.json.gz")["traceEvents"]


def read(path: Path) -> dict:
    """The JSON of a trace."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def phases(events: list[dict]) -> dict[str, dict]:
    """The ranges of phases by name."""
    return {event["name"]: event for event in events if event.get("cat") == "phase"}


def named(events: list[dict], name: str) -> list[dict]:
    return [event for event in events if event["name"] == name]


def within(inner: dict, outer: dict, tolerance: float = 1.0) -> bool:
    """Whether one range lies in another; microseconds."""
    ends = [event["ts"] + event["dur"] for event in (inner, outer)]
    return inner["ts"] > outer["ts"] - tolerance and ends[0] < ends[1] + tolerance


def test_phases_are_ranges_that_hold_each_other_and_their_operations(tmp_path):
    events = traced(tmp_path)
    found = phases(events)
    assert set(found) == {"cell", "outer", "inner"}
    assert within(found["inner"], found["outer"])
    assert within(found["outer"], found["cell"])
    sums, flips = named(events, "aten::cumsum"), named(events, "aten::flip")
    assert sums
    assert all(within(event, found["inner"]) for event in sums)
    assert len(flips) == 1, "the outer phase goes on after the inner one"
    assert within(flips[0], found["outer"])
    assert not within(flips[0], found["inner"])


def test_a_phase_is_recorded_only_at_its_beginning(tmp_path):
    # Each time round is three calls: the whole network, and its two layers.
    sums = named(traced(tmp_path, module_calls=110), "aten::cumsum")
    assert len(sums) == (110 - 50) // 3


def test_the_file_is_a_chrome_trace_without_names_of_this_machine(tmp_path):
    events = traced(tmp_path)
    whole = read(tmp_path / "trace.json.gz")
    assert set(whole) == {"displayTimeUnit", "baseTimeNanoseconds", "traceEvents"}
    assert {event["ph"] for event in events} <= KNOWN
    assert all({"ts", "dur", "pid", "tid"} <= set(e) for e in events if e["ph"] == "X")
    assert str(tmp_path) not in json.dumps(whole)


def test_a_phase_that_fails_ends_in_the_trace_too(tmp_path):
    meter, trace = Meter(), Trace()
    with pytest.raises(RuntimeError), trace.of("cell"), meter.phase("broken"):
        raise RuntimeError
    trace.write(tmp_path / "trace.json.gz")
    assert set(phases(read(tmp_path / "trace.json.gz")["traceEvents"])) == {"cell", "broken"}


def test_what_does_not_ask_for_a_trace_gets_none_and_a_lost_trace_is_no_lost_result(
    tmp_path, caplog
):
    class Asked:
        key, title, traces = "k", "a cell", None

    with recording(Asked()):
        pass
    assert not caplog.text
    (tmp_path / "file").touch()
    Asked.traces = str(tmp_path / "file")
    with recording(Asked()):
        pass
    assert "no trace of a cell" in caplog.text


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        yield world


@pytest.fixture(scope="module")
def plain(world, tmp_path_factory):
    """The numbers of a run without traces."""
    out = tmp_path_factory.mktemp("plain")
    status, _, told = cli(*world.options(out))
    assert status == 0, told
    assert not (out / "traces").exists()
    return all_numbers(out)


@pytest.mark.parametrize("jobs", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_results_and_keys_are_those_of_a_run_without(world, plain, tmp_path, jobs):
    options = world.options(tmp_path, "--jobs", jobs, "--profile")
    status, _, told = cli(*options)
    assert status == 0, told
    assert all_numbers(tmp_path) == plain
    assert f"{tmp_path / 'traces'}/" in told
    cells = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("cells/*.json")}
    traces = {path.name: path for path in tmp_path.glob("traces/*")}
    assert set(traces) == {f"{key}.json.gz" for key in cells}
    for key, cell in cells.items():
        events = read(traces[f"{key}.json.gz"])["traceEvents"]
        # Of what another run has measured before, a cell has the cost without the phase.
        found = {name for name in phases(events) if ": " not in name}
        assert found <= set(cell["costs"])
        assert {"examine", *(["unlearn"] * (cell["role"] == "method"))} <= found
    status, _, told = cli(*options)
    assert status == 0
    assert "no trace" in told
