"""All the results of a folder: the summary for what has not changed, the files for the rest."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.results.entry import result_of
from unlearnbench.results.many_files import read_files
from unlearnbench.results.record import Result
from unlearnbench.results.result_file import Damage, Stamp
from unlearnbench.results.summary import NO_ENTRY, Summary, read_summary, write_summary

WORTH_KEEPING = 100  # new entries; fewer are made again sooner than the summary is written


@dataclass(frozen=True)
class ResultFolder:
    """A folder of result files, and where its summary is."""

    cells: Path
    summary: Path

    def read(self) -> tuple[list[Result], list[Damage]]:
        """Every result in the order of file names, and every file that is none.

        Raises `UserError` for a folder that cannot be looked into; one that is not there is empty.
        """
        stamps = _stamps(self.cells)
        known = read_summary(self.summary) if len(stamps) >= WORTH_KEEPING else Summary()
        with _no_garbage_collection():
            try:
                return self._read(stamps, known)
            except NO_ENTRY:  # the summary has one that is none
                return self._read(stamps, Summary())

    def _read(
        self, stamps: dict[str, Stamp | None], known: Summary
    ) -> tuple[list[Result], list[Damage]]:
        known.keep_current(stamps)
        unread = [name for name in stamps if name not in known.entries]
        read, damages = read_files([self.cells / name for name in unread])
        known.add(read)
        if len(read.entries) >= WORTH_KEEPING:
            write_summary(self.summary, known)
        results: list[Result] = [
            result_of(self.cells / name, known.entries.pop(name), known.common)
            for name in stamps
            if name in known.entries
        ]
        return results, damages


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Results hold no cycles, and going through thousands again and again doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _stamps(cells: Path) -> dict[str, Stamp | None]:
    """Every file that claims to be a result, in order; without a stamp it leads nowhere."""
    try:
        with os.scandir(cells) as found:
            stamps = {file.name: _stamp(file) for file in found if file.name.endswith(".json")}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UserError(
            f"cannot look into {cells}: {error.strerror}; make it readable or name another folder"
        ) from error
    return dict(sorted(stamps.items()))


def _stamp(file: "os.DirEntry[str]") -> Stamp | None:
    try:
        return Stamp.of(file.stat())
    except OSError:  # a broken link, or just removed: reading it will say so
        return None
