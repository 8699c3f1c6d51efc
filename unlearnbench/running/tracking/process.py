"""The end of a tracker's process where a cell is measured; nothing here waits for a tracker."""

import json
import os
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any

import unlearnbench

_TRACKER = "unlearnbench.running.tracking.tracker"
#: Seconds after which a tracker that has not taken a message is left to itself.
_PATIENCE = 60.0
# Of a launcher of processes: with these accelerate would look for the others.
_OF_LAUNCHERS = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
    "PMI_SIZE", "PMI_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK",
)  # fmt: skip


class TrackerProcess:
    """Sends messages to a process that has a tracker, and hears what became of them."""

    def __init__(self, module: str = _TRACKER, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is not for it: it says that the run was interrupted
        )
        self._changed = Condition()
        self._sent: deque[float] = deque()  # when each message was sent that is not done yet
        self._problems: list[str] = []
        self._has_ended = False
        self._queue: SimpleQueue[str] = SimpleQueue()
        Thread(target=self._write, daemon=True).start()
        Thread(target=self._listen, daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._has_ended

    @property
    def is_stuck(self) -> bool:
        """Whether it has had a message for longer than anybody waits."""
        with self._changed:
            return bool(self._sent) and self._left() <= 0

    @property
    def is_done(self) -> bool:
        """Whether all messages are done."""
        with self._changed:
            return not self._sent

    def send(self, do: str, **content: Any) -> None:
        """Have a message done when its turn comes."""
        with self._changed:
            self._sent.append(time.monotonic())
        self._queue.put(json.dumps({"do": do, **content}) + "\n")

    def wait(self) -> None:
        """Until all is done or the process has ended; no longer than anybody waits."""
        end = time.monotonic() + self._patience
        with self._changed:
            while self._sent and not self._has_ended:
                left = min(end - time.monotonic(), self._left())
                if left <= 0:
                    return
                self._changed.wait(left)

    def problems(self) -> list[str]:
        """What went wrong since the last call."""
        with self._changed:
            problems, self._problems = self._problems, []
        return problems

    def _left(self) -> float:
        return self._sent[0] + self._patience - time.monotonic()

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with suppress(OSError):  # it has ended, which `_listen` sees
            while True:
                pipe.write(self._queue.get())
                pipe.flush()

    def _listen(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        for line in pipe:
            answer = json.loads(line)
            with self._changed:
                if "problem" in answer:
                    self._problems.append(answer["problem"])
                else:
                    self._sent.popleft()
                    if self._sent:  # its turn has come only now
                        self._sent[0] = time.monotonic()
                self._changed.notify_all()
        status = self._process.wait()
        with self._changed:
            self._problems.append(f"its process ended with exit status {status}")
            self._has_ended = True
            self._changed.notify_all()


def _environment() -> dict[str, str]:
    root = str(Path(unlearnbench.__file__).resolve().parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in _OF_LAUNCHERS and not name.startswith("ACCELERATE_")
    }
    return {**own, "PYTHONPATH": path}


_processes: dict[tuple[int, str], TrackerProcess] = {}  # a fork has none of its parent's


def process_of(name: str) -> TrackerProcess:
    """This process's own for a kind of tracker; another one if the last has ended.

    Raises `OSError` where none can be started.
    """
    place = os.getpid(), name
    if place not in _processes or _processes[place].has_ended:
        _processes[place] = TrackerProcess()
    return _processes[place]
