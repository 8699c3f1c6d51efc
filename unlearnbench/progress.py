"""The talk on stderr: a bar on a terminal, otherwise one line per cell."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

logger = logging.getLogger("unlearnbench")


class Progress(Protocol):
    """Told what is going on."""

    def start(self, title: str) -> None:
        """A cell begins."""

    def finish(self, title: str, outcome: str) -> None:
        """A cell has ended."""


class Lines:
    """One line per finished cell, for logs and pipes."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.began = total, 0, time.monotonic()

    def start(self, title: str) -> None:
        """Nothing: the line comes at the end."""

    def finish(self, title: str, outcome: str) -> None:
        """Print the line."""
        self.done += 1
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(
            f"[{self.done}/{self.total}] {minutes}:{seconds:02d} {title}: {outcome}",
            file=sys.stderr,
            flush=True,
        )


class Bar:
    """A bar over the cells, with the finished ones listed above it."""

    def __init__(self, bar: Any, total: int) -> None:
        self.bar, self.task = bar, bar.add_task("starting", total=total)

    def start(self, title: str) -> None:
        """Name the cell beside the bar."""
        self.bar.update(self.task, description=title)

    def finish(self, title: str, outcome: str) -> None:
        """Print the cell's outcome above the bar and move it on."""
        self.bar.console.print(f"{title}: {outcome}", markup=False, highlight=False)
        self.bar.advance(self.task)


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """A bar if a person watches, else lines; log records of the harness go the same way."""
    if not sys.stderr.isatty():
        with _logging_to(logging.StreamHandler(sys.stderr)):
            yield Lines(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with (
        RichProgress(
            *columns, TextColumn("{task.description}", markup=False), console=console
        ) as bar,
        _logging_to(_ConsoleHandler(console)),
    ):
        yield Bar(bar, total)


class _ConsoleHandler(logging.Handler):
    def __init__(self, console: Any) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(record.getMessage(), markup=False, highlight=False)


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    logger.addHandler(handler)
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True
