"""`run --profile`: a trace of a cell, for Perfetto or any viewer of Chrome traces.

Every phase of the cell is a range in it, from the first to the last; operations, which would be
gigabytes, are recorded by torch's profiler at the beginning of each phase only.
"""

import gzip
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_whole
from unlearnbench.models.devices import meter
from unlearnbench.running.progress import logger

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell

# Calls of a network's modules in a phase while operations are recorded: megabytes of a trace.
MODULE_CALLS = 1_000
_A_START = 50  # calls that starting the profiler counts for, so that it is started 20 times at most
_TRACK = 1  # the row of the phases; other rows are threads, whose numbers are the system's
_QUIET = "KINETO_LOG_LEVEL"  # else torch's profiler tells the terminal of every start and stop


@contextmanager
def recording(cell: "Cell") -> Iterator[None]:
    """Around the run of a cell: if it asks for it, write its trace and log where that lies.

    A trace is a convenience: where it cannot be written the log says so, and the result stands.
    """
    from unlearnbench.models.devices import ranks

    if cell.traces is None or not ranks.is_first():
        yield
        return
    path, trace = Path(cell.traces) / f"{cell.key}.json.gz", Trace()
    try:
        with trace.of(cell.title):
            yield
    finally:
        try:
            trace.write(path)
            logger.info("trace of %s: %s", cell.title, path)
        except UserError as error:
            logger.warning("no trace of %s: %s", cell.title, error)


class Trace:
    """Notes every phase; records the operations of the first so many module calls of each."""

    def __init__(self, module_calls: int = MODULE_CALLS) -> None:
        self._limit = module_calls
        self._calls: Counter[str] = Counter()  # of modules while recording, by phase
        self._open: list[tuple[str, int]] = []  # phases under way, and when they began in ns
        self._events: list[str] = []  # JSON, one or more each
        self._base = 0  # ns since 1970 from which torch's profiler counts
        self._profile: Any = None  # while it records
        self._thread = threading.get_ident()

    @contextmanager
    def of(self, title: str) -> Iterator[None]:
        """Record what happens inside, as one range of that title."""
        from torch import profiler
        from torch.nn.modules.module import register_module_forward_pre_hook

        os.environ.setdefault(_QUIET, "99")
        with profiler.profile(on_trace_ready=self._export):
            pass  # the first start takes seconds, which are no phase's
        hook = register_module_forward_pre_hook(self._called)
        row = {"ph": "M", "name": "thread_name", "pid": os.getpid(), "tid": _TRACK}
        self._events.append(json.dumps({**row, "args": {"name": "phases"}}))
        self._open.append((title, time.time_ns()))
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
        name, began = self._open.pop()
        at, duration = (began - self._base) / 1000, (time.time_ns() - began) / 1000
        place = {"ph": "X", "cat": "phase", "pid": os.getpid(), "tid": _TRACK}
        self._events.append(json.dumps({**place, "name": name, "ts": at, "dur": duration}))
        self._start()

    def write(self, path: Path) -> None:
        """Put everything into one file, whole or not at all; raises `UserError`."""
        head = {"displayTimeUnit": "ms", "baseTimeNanoseconds": self._base}
        content = f'{json.dumps(head)[:-1]}, "traceEvents": [{",".join(self._events)}]}}'
        write_whole(path, gzip.compress(content.encode(), 4), "make room, or choose another --out")

    def _called(self, *_: object) -> None:
        # Where activations are computed again, a thread of the backward pass calls modules.
        if self._profile is not None and threading.get_ident() == self._thread:
            self._count(1)

    def _count(self, calls: int) -> None:
        name = self._open[-1][0]
        self._calls[name] += calls
        if self._calls[name] >= self._limit:
            self._stop()

    def _start(self) -> None:
        """Record operations from here on, while the innermost phase has calls left."""
        from torch import profiler

        # The first that is open is the cell itself, in no phase.
        if len(self._open) > 1 and self._calls[self._open[-1][0]] < self._limit:
            self._profile = profiler.profile(on_trace_ready=self._export)
            self._profile.start()
            self._count(_A_START)

    def _stop(self) -> None:
        if self._profile is not None:
            profile, self._profile = self._profile, None
            profile.stop()

    def _export(self, profile: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            exported = Path(folder) / "trace.json"
            profile.export_chrome_trace(str(exported))
            part = json.loads(exported.read_bytes())
        # The same in all parts of a process; an arrow's number is not, each part counts from 1.
        self._base = int(part["baseTimeNanoseconds"])
        for event in part["traceEvents"]:
            if "id" in event:
                event["id"] = int(event["id"]) + (len(self._events) << 32)
        self._events.append(json.dumps(part["traceEvents"])[1:-1])
