"""How long a person waits: for help, a listing, a small report, and a run's first training step.

    python speed/start_up.py

Runs each command a few times in a new process, and prints the least wall and CPU seconds beside
what they are meant to take; then the imports of each that take longest, as Python counts them
(-X importtime; one includes those that it causes).  A first training step is that of ICU on the
nano world, counted from the start of the process, once with an empty cache and then with what
earlier runs have left in it.  Nothing is asserted: seconds are this machine's.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click
from tabulate import tabulate

SMALL_RUN = ("run", "--methods", "kumpr", "--runs", "0", "--references", "none", "--limit", "2",
             "--task-limit", "2", "--max-epochs", "1", "--tasks", "forgetting,perplexity",
             "--stop", "paper", "--device", "cpu", "--jobs", "0")  # fmt: skip
FIRST_STEP = ("run", "--methods", "first-step", "--runs", "0", "--references", "none")
TOLD = "UNLEARNBENCH_FIRST_STEP"  # the file that the plugin writes the time into
PLUGIN = f'''
import os
import time
from dataclasses import dataclass
from pathlib import Path

from unlearnbench.registry import find, register


@register
@dataclass(kw_only=True)
class FirstStep(find("methods", "icu")):
    """ICU, until its first step is done."""

    name = "first-step"
    label = "first step"

    def prepare(self, model, forget_set):
        super().prepare(model, forget_set)
        self.n_losses = 0

    def loss(self, batch):
        self.n_losses += 1
        if self.n_losses == 2:  # the first step has been taken
            Path(os.environ["{TOLD}"]).write_text(str(time.time()))
            raise SystemExit
        return super().loss(batch)
'''
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)")


@dataclass(frozen=True)
class Waited:
    """What a command took."""

    wall: float  # seconds
    cpu: float  # of it and of the processes that it waited for
    said: str  # the end of its stderr


@click.command()
@click.option("--times", default=5, show_default=True, help="processes per command")
@click.option("--imports", default=6, show_default=True, help="dearest imports to name of each")
@click.option("--first-step/--no-first-step", default=True, help="also the runs, which take longer")
def main(times: int, imports: int, first_step: bool) -> None:
    """Time the commands and a run's first training step, and name the dearest imports."""
    with tempfile.TemporaryDirectory(prefix="start-up-") as scratch:
        folder = Path(scratch)
        _run(*SMALL_RUN, "--out", str(folder / "results"))
        commands: dict[str, tuple[tuple[str, ...], str]] = {
            "--help": (("--help",), "0.3"),
            "list": (("list",), "0.5"),
            **{f"list {kind}": (("list", kind), "0.5") for kind in ("methods", "models", "tasks")},
            "report, 1 result": (("report", str(folder / "results")), ""),
            "--dry-run": ((*SMALL_RUN, "--dry-run", "--out", str(folder / "results")), ""),
        }
        rows = [(n, *_least(times, lambda c=c: _run(*c)), aim) for n, (c, aim) in commands.items()]
        if first_step:
            rows += [(name, *waited, aim) for name, waited, aim in _first_steps(folder, times)]
        print(tabulate(rows, ("", "wall (s)", "CPU (s)", "aim (s)"), floatfmt=".2f"))
        for name, (command, _) in commands.items():
            print(f"\nDearest imports of {name}:")
            print(tabulate(_dearest(command, imports), ("ms", "module"), floatfmt=".0f"))


def _first_steps(folder: Path, times: int) -> Iterator[tuple[str, tuple[float, float], str]]:
    """In this process and in a worker, each with an empty cache and with a full one."""
    plugin = folder / "first_step.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    for jobs, where in {"0": "in the process", "1": "in a worker"}.items():
        cache = {"UNLEARNBENCH_CACHE": str(folder / f"cache-{jobs}")}

        def step(jobs: str = jobs, cache: Mapping[str, str] = cache) -> Waited:
            out = tempfile.mkdtemp(dir=folder)
            options = ("--plugin", str(plugin), "--jobs", jobs, "--out", out)
            return _until_told(folder / "told", (*FIRST_STEP, *options), cache)

        yield f"first step {where}, nothing cached", _least(1, step), ""
        yield f"first step {where}", _least(times, step), "10"


def _until_told(told: Path, command: tuple[str, ...], environment: Mapping[str, str]) -> Waited:
    """Until the plugin has written the time; the CPU seconds are those of the whole process."""
    told.unlink(missing_ok=True)
    began = time.time()
    waited = _run(*command, status=1, **environment, **{TOLD: str(told)})
    if not told.exists():
        raise click.ClickException(f"no first step: {waited.said}")
    return replace(waited, wall=float(told.read_text()) - began)


def _least(times: int, wait: Callable[[], Waited]) -> tuple[float, float]:
    found = [wait() for _ in range(times)]
    return min(one.wall for one in found), min(one.cpu for one in found)


def _run(*command: str, status: int = 0, **environment: str) -> Waited:
    """Run `unlearnbench`; raises `ClickException` with its last words where it ends otherwise."""
    before, began = _cpu(), time.perf_counter()
    done = _process(("-m", "unlearnbench", *command), environment)
    said = done.stderr.strip()[-500:]
    if done.returncode != status:
        raise click.ClickException(f"{' '.join(command)}: {said}")
    return Waited(time.perf_counter() - began, _cpu() - before, said)


def _process(
    arguments: tuple[str, ...], environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _dearest(command: tuple[str, ...], n: int) -> list[tuple[float, str]]:
    """Milliseconds and name of the packages, and the modules of this one, that took longest."""
    done = _process(("-X", "importtime", "-m", "unlearnbench", *command))
    found = {name: int(whole) / 1000 for _, whole, _, name in _IMPORT.findall(done.stderr)}
    own = {name: ms for name, ms in found.items() if name.startswith("unlearnbench")}
    packages = {name: ms for name, ms in found.items() if "." not in name}
    return sorted(((ms, name) for name, ms in {**own, **packages}.items()), reverse=True)[:n]


if __name__ == "__main__":
    main()
