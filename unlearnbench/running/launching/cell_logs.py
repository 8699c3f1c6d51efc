"""OUT/logs/<key>.log: what a cell says while it runs, to be followed with `tail -f`."""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from unlearnbench.experiments.cell import Cell
from unlearnbench.files.safe_text import redact, visible
from unlearnbench.running.progress import logger


class CellLogs:
    """Appends each record to the log of its cell, and shows the important ones.

    A log is a convenience: where it cannot be written, the run goes on without.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, cell: Cell) -> Path:
        """Where a cell's log is."""
        return self.folder / f"{cell.key}.log"

    def begin(self, cell: Cell, attempt: int) -> None:
        """A line that separates this attempt from those before it."""
        self.write(cell, f"{cell.title}: attempt {attempt}")

    def write(self, cell: Cell, text: str) -> None:
        """Append text, each line after the time."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path(cell).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(f"{now} {line}\n" for line in redact(visible(text)).splitlines())

    def __call__(self, cell: Cell, record: logging.LogRecord) -> None:
        """Keep a record; pass it on to whoever watches the run, unless it came from here."""
        self.write(cell, record.getMessage())
        if record.process != os.getpid() and logger.isEnabledFor(record.levelno):
            logger.handle(record)
