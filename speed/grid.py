"""A grid that loses machines, or is shared by several processes, against an undisturbed one.

    python speed/grid.py --times 10

Computes 40 small nano cells once undisturbed; then on a Ray cluster of two nodes here, of which one
is killed with -9 at random moments and replaced; then by four processes on one folder, with
--shard i/4 and with nothing but claims.  Prints for each whether the table and every number are
those of the undisturbed run, how often a cell was started, and how often after it was saved.
Needs Ray.  Exit status 1 if anything differs.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
from tabulate import tabulate

SIZES = {
    "forty": ("--methods", "icu,kumpr,kl,llmu,dpo", "--runs", "0,1", "--seeds", "1,2,3,4"),
    "small": ("--methods", "kumpr,kl", "--runs", "0", "--seeds", "1,2,3"),
}
# Without the calibration of the stop line, which takes longer than such a cell.
SMALL_CELLS = ("--limit", "2", "--task-limit", "2", "--max-epochs", "1",
               "--tasks", "forgetting,perplexity", "--references", "none",
               "--stop", "paper", "--device", "cpu")  # fmt: skip
TIMES = {"started_at", "seconds", "peak_memory_bytes", "header_sha256"}
OUTCOME = re.compile(r"^\S+ \S+ (ok|not forgotten), \d+ epochs, \d+ s$")
START = re.compile(r"attempt \d+$|machine was lost; it is run again$")


@click.command()
@click.option("--times", default=10, show_default=True, help="grids on the cluster")
@click.option("--kills", default=2, show_default=True, help="nodes killed in each")
@click.option("--cells", type=click.Choice(list(SIZES)), default="forty", show_default=True)
@click.option("--shared/--no-shared", default=True, help="also several processes on one folder")
@click.option("--seed", default=5, show_default=True, help="of the moments")
@click.option("--out", type=click.Path(path_type=Path), help="keep the results in this folder")
def main(times: int, kills: int, cells: str, shared: bool, seed: int, out: Path | None) -> None:
    """Compute one grid undisturbed, on a cluster that loses nodes, and by several processes.

    Prints a table with a line for each way: its cells, whether table and numbers are those of
    the undisturbed run, how often a cell was started and how often after it was saved, seconds,
    and what was killed.  Exit status 1 if anything differs.
    """
    with tempfile.TemporaryDirectory(prefix="grid-") as scratch:
        grid = Grid(out or Path(scratch), ("run", *SIZES[cells], *SMALL_CELLS))
        ways = []
        for way in all_ways(grid, times, kills, shared, random.Random(seed)):
            ways.append(way)
            print(*way.row(ways[0]), file=sys.stderr, flush=True)
    rows = [way.row(ways[0]) for way in ways]
    print(tabulate(rows, ("", "cells", "table", "numbers", "starts", "after saved", "s", "")))
    sys.exit(not all(way.is_as(ways[0]) for way in ways))


def all_ways(
    grid: "Grid", times: int, kills: int, shared: bool, dice: random.Random
) -> Iterator["Way"]:
    """One after the other, the undisturbed one first."""
    undisturbed = grid.shared("undisturbed", [("--jobs", "2")])
    yield undisturbed
    if shared:
        yield grid.shared("--shard i/4", [("--shard", f"{i}/4") for i in range(1, 5)])
        yield grid.shared("claims of 4", [()] * 4)
    n_cells = len(undisturbed.numbers)
    with ray_cluster() as cluster:
        for turn in range(times):
            # After so many saved cells and a part of the next: a moment of a run of any speed.
            moments = [
                (n, dice.uniform(0, 2)) for n in sorted(dice.choices(range(n_cells), k=kills))
            ]
            yield grid.losing_nodes(f"node lost, {turn + 1}", cluster, moments)


@dataclass(frozen=True)
class Way:
    """What came of one way to compute the grid."""

    name: str
    table: str
    numbers: dict[str, object]  # of each result file, without times
    starts: int  # of cells, those that were lost included
    after_saved: int  # starts of a cell that had a result
    seconds: float
    remark: str = ""

    def is_as(self, other: "Way") -> bool:
        """Whether nobody can tell the two apart by their results."""
        same = self.table == other.table and self.numbers == other.numbers
        return same and bool(self.table) and self.after_saved == 0

    def row(self, other: "Way") -> tuple[object, ...]:
        """One line of the summary."""
        table = "same" if self.table == other.table else "DIFFERENT"
        numbers = "same" if self.numbers == other.numbers else "DIFFERENT"
        counts = (self.starts, self.after_saved, round(self.seconds))
        return self.name, len(self.numbers), table, numbers, *counts, self.remark


@dataclass(frozen=True)
class Grid:
    """One command line, computed in several ways, each in a folder of its own."""

    folder: Path
    command: tuple[str, ...]

    def shared(self, name: str, parts: Sequence[Sequence[str]]) -> Way:
        """Several command lines at once in one folder."""
        out, began = self._folder(name), time.monotonic()
        running = [self._start(out, *part) for part in parts]
        talks = [process.communicate()[1] for process in running]
        check([p.returncode for p in running], talks)
        return self._way(name, out, time.monotonic() - began)

    def losing_nodes(
        self, name: str, cluster: "TwoNodes", moments: Sequence[tuple[int, float]]
    ) -> Way:
        """On the cluster, of which a node dies so many saved cells, and seconds, into the run."""
        out, began = self._folder(name), time.monotonic()
        options = ("--launcher", "ray", "--ray-address", cluster.address)
        process = self._start(out, *options)
        killed = 0
        for n_saved, seconds in moments:
            while process.poll() is None and len(results_in(out)) < n_saved:
                time.sleep(0.02)
            time.sleep(seconds)
            if process.poll() is None:
                cluster.replace()
                killed += 1
        talk = process.communicate()[1]
        check([process.returncode], [talk])
        logs = "".join(path.read_text() for path in (out / "logs").iterdir())
        taken = logs.count("machine was lost; it is run again")
        remark = f"{killed} nodes killed, {taken} cells under way with them"
        return self._way(name, out, time.monotonic() - began, remark)

    def _folder(self, name: str) -> Path:
        return self.folder / re.sub(r"\W+", "-", name)

    def _start(self, out: Path, *more: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "unlearnbench", *self.command, "--out", str(out), *more]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)

    def _way(self, name: str, out: Path, seconds: float, remark: str = "") -> Way:
        asked_again = self._start(out)
        table, talk = asked_again.communicate()
        check([asked_again.returncode], [talk])
        if " 0 cells run" not in talk:
            raise click.ClickException(f"{name}: not complete:\n{talk}")
        starts = [starts_in(path.read_text()) for path in sorted((out / "logs").iterdir())]
        return Way(
            name=name,
            table=table,
            numbers={p.name: numbers_in(json.loads(p.read_text())) for p in results_in(out)},
            starts=sum(before + after for before, after in starts),
            after_saved=sum(after for _, after in starts),
            seconds=seconds,
            remark=remark,
        )


def check(codes: Sequence[int], talks: Sequence[str]) -> None:
    """End with what was said, should a command have failed."""
    for code, talk in zip(codes, talks, strict=True):
        if code != 0:
            raise click.ClickException(f"exit status {code}:\n{talk}")


def results_in(out: Path) -> list[Path]:
    """The results' headers, which name the digests of their documents."""
    return sorted((out / "cells").glob("[!.]*.json"))


def numbers_in(value: object) -> object:
    """A result without what depends on the clock and the machine's load."""
    if isinstance(value, dict):
        return {name: numbers_in(v) for name, v in value.items() if name not in TIMES}
    return [numbers_in(v) for v in value] if isinstance(value, list) else value


def starts_in(log: str) -> tuple[int, int]:
    """How often a cell was started: before it had a result, and after."""
    lines = log.splitlines()
    done = next((i for i, line in enumerate(lines) if OUTCOME.match(line)), len(lines))
    starts = [i for i, line in enumerate(lines) if START.search(line)]
    return sum(i < done for i in starts), sum(i > done for i in starts)


class TwoNodes:
    """A Ray cluster of two nodes on this machine, one processor each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.node = {"num_cpus": 1, "object_store_memory": 100_000_000}
        head = {**self.node, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
        self.second = self.cluster.add_node(**self.node)

    @property
    def address(self) -> str:
        """What --ray-address takes."""
        return str(self.cluster.address)

    def replace(self) -> None:
        """Kill the node that is not the head with all that runs on it; start another one."""
        kill(self.second)
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(**self.node)


def kill(node: object) -> None:
    """Signal 9 to a node's processes and their children, as if its machine had lost power."""
    roots = [info.process for infos in node.all_processes.values() for info in infos]  # type: ignore[attr-defined]
    found = [p for root in roots for p in with_children(root.pid)]
    for process in found:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def with_children(pid: int) -> list[psutil.Process]:
    """A process and all below it, as far as they are there."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def ray_cluster():
    """The cluster, and its end."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = TwoNodes()
    try:
        yield nodes
    finally:
        nodes.cluster.shutdown()


if __name__ == "__main__":
    main()
