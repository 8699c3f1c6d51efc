"""`run --profile`: a trace of a cell, for Perfetto or any viewer of Chrome traces.

The file is the JSON of torch's profiler.  Every phase of the cell is a range in it, from the
first to the last; operations, which would be gigabytes, are recorded at the beginning of each
phase only.
"""

import gzip
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unlearnbench.models.devices import meter
from unlearnbench.running.progress import logger

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell

# Calls of a network's modules in a phase while operations are recorded: megabytes of a trace.
MODULE_CALLS = 1_000
_A_START = 50  # calls that starting the profiler counts for, so that it is started 20 times at most
_TRACK = 1  # the row of the phases; other rows are threads, whose numbers are the system's
_QUIET = "KINETO_LOG_LEVEL"  # else torch's profiler tells the terminal of every start and stop

Event = dict[str, Any]
Range = tuple[str, int, int]  # name, beginning and end in ns since 1970
T = TypeVar("T")


def recorded(run: "Callable[[Cell], T]", cell: "Cell") -> T:
    """Run a cell; if it asks for it, write its trace and log where that lies.

    A trace is a convenience: where it cannot be written the log says so, and the result stands.
    """
    from unlearnbench.models.devices import ranks

    if cell.traces is None or not ranks.is_first():
        return run(cell)
    path = Path(cell.traces) / f"{cell.key}.json.gz"
    with tempfile.TemporaryDirectory() as folder:
        trace = Trace(Path(folder))
        with trace.of(cell.title):
            result = run(cell)
        try:
            trace.write(path)
        except (OSError, ValueError) as error:  # a part that was cut off is no JSON
            logger.warning("no trace of %s: cannot write %s: %s", cell.title, path, error)
        else:
            logger.info("trace of %s: %s", cell.title, path)
    return result


class Trace:
    """Notes every phase; records the operations of the first so many module calls of each."""

    def __init__(self, folder: Path, module_calls: int = MODULE_CALLS) -> None:
        self._folder, self._limit = folder, module_calls
        self._ranges: list[Range] = []
        self._open: list[tuple[str, int]] = []
        self._calls: dict[str, int] = {}  # module calls seen, by phase
        self._parts: list[Path] = []  # what the profiler has written
        self._recording: ExitStack | None = None
        self._thread = threading.get_ident()

    @contextmanager
    def of(self, title: str) -> Iterator[None]:
        """Record what happens inside, as one range of that title."""
        from torch import profiler
        from torch.nn.modules.module import register_module_forward_pre_hook

        os.environ.setdefault(_QUIET, "99")
        with profiler.profile():
            pass  # the first start takes seconds, which are no phase's
        self._open.append((title, time.time_ns()))
        hook = register_module_forward_pre_hook(self._called)
        try:
            with meter.watching(self):
                yield
        finally:
            hook.remove()
            self.ended()

    def began(self, name: str) -> None:
        """A phase begins; the one around it waits."""
        self._stop()
        self._open.append((name, time.time_ns()))
        self._start()

    def ended(self) -> None:
        """The innermost phase ends; the one around it goes on."""
        self._stop()
        self._ranges.append((*self._open.pop(), time.time_ns()))
        self._start()

    def _called(self, *_: object) -> None:
        # Where activations are computed again, a thread of the backward pass calls modules.
        if self._recording is not None and threading.get_ident() == self._thread:
            self._count(1)

    def _count(self, calls: int) -> None:
        name = self._open[-1][0]
        self._calls[name] = self._calls.get(name, 0) + calls
        if self._calls[name] >= self._limit:
            self._stop()

    def _start(self) -> None:
        """Record operations from here on, while the innermost phase has calls left."""
        from torch import profiler

        # The first that is open is the cell itself, in no phase.
        if len(self._open) < 2 or self._calls.get(self._open[-1][0], 0) >= self._limit:
            return
        with ExitStack() as stack:
            one = profiler.profile(activities=profiler.supported_activities())
            one.start()
            stack.callback(self._export, one)
            stack.callback(one.stop)
            stack.enter_context(profiler.record_function(f"phase {self._open[-1][0]}"))
            self._recording = stack.pop_all()
        self._count(_A_START)

    def _stop(self) -> None:
        if self._recording is not None:
            recording, self._recording = self._recording, None
            recording.close()

    def _export(self, profiler: Any) -> None:
        self._parts.append(self._folder / f"{len(self._parts)}.json")
        profiler.export_chrome_trace(str(self._parts[-1]))

    def write(self, path: Path) -> None:
        """Put everything into one file, whole or not at all; raises `OSError`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with gzip.open(unfinished, "wt", encoding="utf-8", compresslevel=4) as file:
                _write(file.write, self._ranges, self._parts)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _write(write: Callable[[str], object], ranges: Sequence[Range], parts: Sequence[Path]) -> None:
    """One JSON object, microseconds since the cell began; each part is read when its turn comes."""
    began = min(start for _, start, _ in ranges)
    write(f'{{"displayTimeUnit": "ms", "baseTimeNanoseconds": {began}, "traceEvents": [')
    write(",\n".join(json.dumps(event) for event in _of_phases(ranges, began)))
    seen: set[str] = set()
    for number, part in enumerate(parts):
        for event in _of_profiler(json.loads(part.read_bytes()), number, began):
            text = json.dumps(event)
            if event["ph"] != "M" or text not in seen:  # every part names the threads again
                write(",\n" + text)
            if event["ph"] == "M":
                seen.add(text)
    write("]}\n")


def _of_phases(ranges: Sequence[Range], began: int) -> Iterator[Event]:
    place = {"pid": os.getpid(), "tid": _TRACK}
    yield {**place, "ph": "M", "name": "thread_name", "args": {"name": "phases"}}
    yield {**place, "ph": "M", "name": "thread_sort_index", "args": {"sort_index": -1}}
    for name, start, end in ranges:
        at, long = (start - began) / 1000, (end - start) / 1000
        yield {**place, "ph": "X", "cat": "phase", "name": name, "ts": at, "dur": long}


def _of_profiler(trace: Event, number: int, began: int) -> Iterator[Event]:
    shift = (int(trace.get("baseTimeNanoseconds", 0)) - began) / 1000
    for event in trace["traceEvents"]:
        if event["ph"] == "M":  # a name, which holds at any time
            yield {name: value for name, value in event.items() if name != "ts"}
        elif event["ph"] != "i":  # marks of where a part begins and ends
            moved = {**event, "ts": round(event["ts"] + shift, 3)}
            if "id" in event:  # of an arrow; every part counts its own from 1
                moved["id"] = int(event["id"]) + (number << 32)
            yield moved
