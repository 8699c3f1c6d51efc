"""A table over thousands of results.

    python speed/many_results.py --like results --files 10000

Writes so many results, each a copy of one in the folder (or of a made-up one as large as a nano
result) with a seed, a setting and so a key of its own, and lets `unlearnbench report` print them in
a process of its own.  Prints wall and processor seconds, the ratio to reading and
parsing the same headers and nothing else, and the peak memory of the largest process.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import click
from tabulate import tabulate

from unlearnbench.results.files import written
from unlearnbench.results.record import (
    Environment,
    EpochRecord,
    ForgetSetRecord,
    MethodRecord,
    ModelRecord,
    Result,
    RowRecord,
    StopRecord,
    UnlearnTrace,
    key_of,
)
from unlearnbench.results.score import Metric, Score
from unlearnbench.results.store import Store

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
PARSE = """
import sys
from pathlib import Path
from pydantic_core import from_json
for path in sorted(Path(sys.argv[1]).glob("cells/*.json")):
    from_json(path.read_bytes())
"""
REPORT = "from unlearnbench.cli import main; main()"
N_ROWS, N_EPOCHS, N_METRICS = 64, 8, 20  # of the made-up result


@dataclass(frozen=True)
class Turn:
    """What one process took, those it started included."""

    seconds: float
    processor_seconds: float
    peak_bytes: int  # of the largest of them


@click.command()
@click.option("--like", type=FOLDER, help="a results folder to copy from  [default: made up]")
@click.option("--files", "n_files", default=10_000, show_default=True)
@click.option("--runs", "n_runs", default=50, show_default=True, help="results in one row's means")
@click.option("--format", "report_name", default="csv", show_default=True)
@click.option("--scratch", type=FOLDER, help="where the files go  [default: the system's folder]")
def main(
    like: Path | None, n_files: int, n_runs: int, report_name: str, scratch: Path | None
) -> None:
    """Write many result files and let `unlearnbench report` read them.

    Prints wall and processor seconds, the ratio to reading and parsing the same headers and
    nothing else, and the peak memory of the largest process.
    """
    patterns = [r for r in Store(like).load_all()[0] if r.scores] if like else [made_up_result()]
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        write(folder, islice(copies(patterns, n_runs), n_files))
        turns = {
            "headers parsed, nothing else": timed([PARSE, name]),
            "report": timed([REPORT, "report", name, f"--{report_name}"]),
        }
        sizes = [size(folder / "cells", end) / n_files / 1e3 for end in (".json", ".gz")]
    print(f"{n_files} results, {n_runs} in a row's means, on one of {os.cpu_count()} processors")
    print(f"of each {sizes[0]:.0f} KB of header and {sizes[1]:.0f} KB of documents")
    print(table(turns))


def copies(patterns: Sequence[Result], n_runs: int) -> Iterator[Result]:
    """Endless results with keys of their own, in rows of so many."""
    for number, pattern in enumerate(cycle(patterns)):
        row, seed = divmod(number // len(patterns), n_runs)
        identity = {**pattern.identity, "seed": seed, "copy": row}
        settings = {**pattern.method.settings, "copy": row}
        changes = {
            "identity": identity,
            "key": key_of(identity),
            "seed": seed,
            "method": pattern.method.model_copy(update={"settings": settings}),
        }
        yield pattern.model_copy(update=changes)


def write(folder: Path, results: Iterator[Result]) -> None:
    """As the store does, but without waiting for the disk ten thousand times."""
    store = Store(folder)
    store.cells.mkdir(exist_ok=True)
    for result in results:
        files = written(result)
        store.path(result.key).write_bytes(files.header)
        (store.cells / files.documents_name).write_bytes(files.documents)


def timed(arguments: Sequence[str]) -> Turn:
    """Run Python code with arguments in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-c", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"status {process.returncode} from: {' '.join(arguments[1:])}")
    seconds = time.perf_counter() - started
    return Turn(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def size(folder: Path, end: str) -> int:
    """Bytes of a folder's files with that end."""
    return sum(path.stat().st_size for path in folder.glob(f"*{end}"))


def table(turns: dict[str, Turn]) -> str:
    """One line per turn, with its ratio to the first."""
    first = next(iter(turns.values()))
    columns = ("", "wall s", "CPU s", "CPU ratio", "peak MB")
    rows = [
        (name, t.seconds, t.processor_seconds, t.processor_seconds / first.processor_seconds,
         t.peak_bytes / 1e6)
        for name, t in turns.items()
    ]  # fmt: skip
    return tabulate(rows, columns, floatfmt=("", ".1f", ".1f", ".2f", ".0f"))


def made_up_result() -> Result:
    """A result with as many rows, epochs and documents as a nano result has."""
    doc_ids = [str(row) for row in range(N_ROWS)]
    text = "the quick brown fox jumps over the lazy dog and then sleeps " * 4
    outcomes = {doc_id: (31 * i % 64) / 64 for i, doc_id in enumerate(doc_ids)}
    names = [f"metric{i}" for i in range(N_METRICS)]
    return Result(
        key="",
        identity={"method": {"name": "icu"}, "software": {"packages": {}}},
        status="ok",
        role="method",
        group="made-up",
        label="ICU",
        model=ModelRecord(
            name="made-up",
            location="",
            revision=None,
            weights_sha256="0" * 64,
            architecture="GPTNeoForCausalLM",
            n_parameters=1_000_000,
            dtype="float32",
            device="cpu",
        ),
        method=MethodRecord(name="icu", label="ICU", settings={"alpha": 0.5}),
        forget_set=ForgetSetRecord(
            name="made up",
            run="0",
            content_sha256="1" * 64,
            doc_ids=doc_ids,
            prefixes=dict.fromkeys(doc_ids, text),
            suffixes=dict.fromkeys(doc_ids, text),
        ),
        protocol_name="paper",
        protocol={"perplexity_cap": 1000.0},
        stop=StopRecord(source="paper", el=0.05, ma=0.6),
        seed=0,
        metrics=[Metric(name=n, task="task", label=n, higher_is_better=True) for n in names],
        scores={"task": {name: made_up_score(outcomes, text) for name in names}},
        trace=UnlearnTrace(
            outcome="forgotten",
            n_epochs=N_EPOCHS,
            epochs=[made_up_epoch(e, doc_ids, text) for e in range(N_EPOCHS + 1)],
        ),
        costs={},
        environment=Environment(python="3", platform="", packages={}, n_threads=1),
        started_at="2030",
        seconds=1.0,
    )


def made_up_score(outcomes: dict[str, float], text: str) -> Score:
    """A mean over documents; the model wrote a few words for each."""
    return Score.of(outcomes, higher_is_better=True, outputs=dict.fromkeys(outcomes, text[:20]))


def made_up_epoch(epoch: int, doc_ids: Sequence[str], text: str) -> EpochRecord:
    """An epoch with a continuation of every row."""
    numbers = {"el": 0.125, "ma": 0.5, "bertscore_f1": 0.7, "bleu": 1e-9, "entropy": 4.5}
    rows = [RowRecord(doc_id=d, forgotten=False, continuation=text, **numbers) for d in doc_ids]
    return EpochRecord(epoch=epoch, metrics=numbers, n_active=len(rows), rows=rows)


if __name__ == "__main__":
    main()
