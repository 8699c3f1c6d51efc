"""The contract of what runs cells: start one, wait for some, end them all; and its options."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from unlearnbench.experiments.cell import Cell
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.results.record import Result


@dataclass(frozen=True)
class Lost:
    """A cell without a result: its process, or the machine that it ran on, is gone."""

    reason: str  # 'its process was killed (signal 9)'
    again: bool = True  # whether another try may end otherwise; a hanging method hangs again
    is_killed: bool = False  # by SIGKILL, as the system does where memory runs out


@dataclass(frozen=True)
class Ended:
    """A cell that runs no more."""

    cell: Cell
    outcome: Result | Lost


# Told what a running cell logs; may be called from another thread.
Listener = Callable[[Cell, logging.LogRecord], None]


class Launcher(Protocol):
    """Runs cells somewhere; `grid` alone decides which, and stores the results.

    A launcher never raises for what a cell does.  It raises `UserError` where it cannot
    work at all (no Ray, no cluster at that address).
    """

    def room(self) -> int:
        """How many more cells may be started now."""
        ...

    def start(self, cell: Cell) -> None:
        """Begin a cell; returns before it has ended, unless it runs in this process."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """The cells that have ended since the last call; waits so long for the first of them.

        May come back sooner with nothing.
        """
        ...

    def close(self) -> None:
        """End everything at once; what is running is lost.  Called once, always."""
        ...


@dataclass(frozen=True)
class HowToRun:
    """What of an experiment says where and how its cells run, and nothing of what they are."""

    launcher: str  # local, ray
    jobs: int  # cells at a time; 0: in this process; with Ray 0 is as many as fit
    plugins: tuple[str, ...]
    timeout: float | None  # seconds
    retries: int
    ray_address: str | None
    gpus_per_cell: float | None

    @classmethod
    def of(cls, experiment: Experiment, jobs: int, plugins: Sequence[str] = ()) -> "HowToRun":
        """That of an experiment whose plan has settled the number of jobs."""
        minutes = experiment.cell_timeout
        return cls(
            launcher=experiment.launcher,
            jobs=(experiment.jobs or 0) if experiment.launcher == "ray" else jobs,
            plugins=tuple(dict.fromkeys((*experiment.plugin, *plugins))),
            timeout=None if minutes is None else minutes * 60,
            retries=experiment.retries,
            ray_address=experiment.ray_address,
            gpus_per_cell=experiment.gpus_per_cell,
        )
