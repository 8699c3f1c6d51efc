"""Cells in processes of their own on this machine: one that dies takes nothing else along."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from logging import LogRecord
from multiprocessing import connection
from signal import SIGKILL, Signals
from threading import Thread
from typing import Any

from unlearnbench.experiments.cell import Cell
from unlearnbench.results.record import Result
from unlearnbench.running.launching.launcher import Ended, Listener, Lost
from unlearnbench.running.launching.worker import BROKEN, DONE, LOG, serve


class LocalProcesses:
    """At most `jobs` cells at a time, each in a worker process that takes one after the other.

    Every worker has a pipe of its own: whatever happens to one, the others go on.
    """

    def __init__(
        self,
        jobs: int,
        listener: Listener,
        plugins: Sequence[str] = (),
        timeout: float | None = None,  # seconds a cell may take
        n_gpus: int = 0,
    ) -> None:
        self._listener, self._plugins, self._timeout = listener, tuple(plugins), timeout
        self._gpus: list[int | None] = [
            slot % n_gpus if n_gpus > 1 else None for slot in range(jobs)
        ]
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    def room(self) -> int:
        """Jobs that have no cell."""
        return len(self._gpus) - len(self._busy)

    def start(self, cell: Cell) -> None:
        """Give the cell to a worker that waits for one, else to a new one."""
        worker = self._idle.pop() if self._idle else self._new()
        worker.begin(cell)
        self._busy.append(worker)

    def wait(self, seconds: float) -> list[Ended]:
        """What has ended; hands on what the cells log in the meantime."""
        if not self._busy:
            return []
        connection.wait([w.talk for w in self._busy], self._until_next_deadline(seconds))
        return [ended for worker in list(self._busy) if (ended := self._look_at(worker))]

    def close(self) -> None:
        """End the workers that wait for a cell, and kill the others."""
        for worker in self._idle:
            worker.talk.close()  # it ends by itself, and gives its semaphores back
        for worker in self._idle:
            worker.process.join(5)
        for worker in [*self._idle, *self._busy]:
            worker.kill()
        self._idle, self._busy = [], []

    def _new(self) -> "_Worker":
        free = list(self._gpus)
        for worker in [*self._idle, *self._busy]:
            free.remove(worker.gpu)
        return _Worker.spawned(self._plugins, free[0])

    def _until_next_deadline(self, seconds: float) -> float:
        now = time.monotonic()
        return min([seconds, *(max(0.0, w.deadline - now) for w in self._busy if w.deadline)])

    def _look_at(self, worker: "_Worker") -> Ended | None:
        cell = worker.cell
        if cell is None:
            return None
        outcome = worker.outcome(lambda record: self._listener(cell, record), self._timeout)
        if outcome is None:
            return None
        self._busy.remove(worker)
        if worker.is_usable:
            self._idle.append(worker)
        return Ended(cell, outcome)


@dataclass
class _Worker:
    """A worker process as its parent sees it."""

    process: Any
    talk: Any  # our end of its pipe
    gpu: int | None
    cell: Cell | None = None
    deadline: float | None = None  # of the monotonic clock, which nobody can set
    sender: Thread | None = None  # hands it the cell
    is_usable: bool = True

    @classmethod
    def spawned(cls, plugins: tuple[str, ...], gpu: int | None) -> "_Worker":
        # A forked child would inherit torch's threads in a broken state.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, plugins, gpu))
        process.start()
        theirs.close()  # else its end would never be seen
        return cls(process, ours, gpu)

    def begin(self, cell: Cell) -> None:
        self.cell, self.deadline = cell, None
        # Beside this thread: a new worker takes seconds to start before it reads.
        self.sender = Thread(target=self._send, args=(cell,), daemon=True)
        self.sender.start()

    def _send(self, cell: Cell) -> None:
        with suppress(OSError):  # it died while it was idle; `outcome` will find its pipe closed
            self.talk.send(cell)

    def outcome(
        self, listener: Callable[[LogRecord], None], timeout: float | None
    ) -> Result | Lost | None:
        """What became of its cell, if that is known by now."""
        try:
            while self.talk.poll():
                kind, content = self.talk.recv()
                if kind in (DONE, BROKEN):
                    self.cell = None
                    return content if kind == DONE else Lost(content, again=False)
                if kind == LOG:
                    listener(content)
                elif timeout is not None:  # it began: what came before was starting the worker
                    self.deadline = time.monotonic() + timeout
        except (EOFError, OSError):
            return self._death()
        # A child that the cell left behind keeps the pipe open, so its end need not be seen.
        if not self.process.is_alive() and not self.talk.poll():
            return self._death()
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.kill()
            return Lost("it took longer than --cell-timeout allows", again=False)
        return None

    def _death(self) -> Lost:
        self.kill()
        code = self.process.exitcode
        if code is None or code >= 0:
            return Lost(f"its process ended with exit status {code}")
        name = next((signal.name for signal in Signals if signal == -code), "unknown")
        reason = f"its process was killed by signal {-code} ({name})"
        return Lost(reason, is_killed=code == -SIGKILL)

    def kill(self) -> None:
        self.is_usable = False
        if self.cell is not None:
            self.process.join(0.2)  # one that has just died tells its own exit status
        self.process.kill()
        self.process.join()
        if self.sender is not None:
            self.sender.join(1)  # nobody reads any more, so it ends
            if self.sender.is_alive():  # unless a child of the worker's holds the other end
                return
        self.talk.close()
