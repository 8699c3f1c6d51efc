"""The worker's side of a launcher: a process that runs the cells it is sent."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import QueueHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.registry import load_plugin_file
from unlearnbench.running.cell_run import run_cell
from unlearnbench.running.launching.identity_check import check_here
from unlearnbench.running.progress import logger

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BEGAN, LOG, DONE, BROKEN = "began", "log", "done", "broken"


def serve(talk: "Connection[Any, Any]", plugins: Sequence[str], gpu: int | None) -> None:
    """Run the cells that come through `talk` until it closes; send log records and results back.

    Messages to the parent are (BEGAN, None), (LOG, record), (DONE, result), (BROKEN, why).
    """
    if gpu is not None:  # before anything asks CUDA which devices there are
        os.environ["CUDA_VISIBLE_DEVICES"] = _name_of(gpu)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # stdout is the answer's
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with_parent()
    logger.propagate = False
    broken = _fault_in(lambda: [load_plugin_file(Path(file)) for file in plugins])
    lock = threading.Lock()

    def send(kind: str, content: Any) -> None:
        with lock:
            talk.send((kind, content))

    while True:
        try:
            cell = talk.recv()
        except EOFError:  # the parent has closed its end: there is nothing more to do
            return
        send(BEGAN, None)
        if problem := broken or _fault_in(check_here, cell):
            send(BROKEN, problem)
            continue
        with listened_to(lambda record: send(LOG, record)):
            result = run_cell(cell)
        try:
            send(DONE, result)
        except Exception as error:  # what a plugin put into its result need not be picklable
            send(BROKEN, f"its result cannot be sent: {type(error).__name__}: {error}")


def _name_of(gpu: int) -> str:
    """What CUDA calls the visible GPU of that number: some may be hidden from this run."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return visible[gpu] if visible[0] else str(gpu)


def _fault_in(step: Callable[..., object], *arguments: Any) -> str | None:
    """What is wrong with a plugin now, or why this process is not fit for a cell; None if fine."""
    try:
        step(*arguments)
    except UserError as error:
        return str(error)
    return None


@contextmanager
def listened_to(listener: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Hand every record of the harness's log to `listener`, as text that can be sent on."""
    handler = _Forward(listener)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Forward(QueueHandler):
    """Formats records, so that they can be pickled, and calls a function with them."""

    def __init__(self, listener: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # there is no queue
        self._listener = listener

    def enqueue(self, record: logging.LogRecord) -> None:
        self._listener(record)


def _end_with_parent(end: Callable[[int], object] = os._exit) -> None:
    """A worker outlives no parent: killed with -9, it cannot say goodbye."""
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is None:
        return
    _be_killed_with_parent(parent.pid)
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        end(1)

    threading.Thread(target=watch, daemon=True).start()


def _be_killed_with_parent(parent: int | None) -> None:
    """On Linux the kernel sees to it, even while foreign code lets no other thread run."""
    import ctypes

    set_death_signal = 1  # PR_SET_PDEATHSIG
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before it was asked
            os._exit(1)
