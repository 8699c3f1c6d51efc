"""The results folder: the only code that touches result files.

OUT/cells/<key>.json       one result, written whole or not at all
OUT/experiments/<id>.toml  the resolved configuration of every run
OUT/logs/<key>.log         the traceback of a cell that failed
OUT/summary/cells.txt      makes reading many results quick; can be deleted at any time
OUT/lock                   held while a run writes here
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.result import Result
from unlearnbench.stored.folder import ResultFolder
from unlearnbench.stored.one_file import Damage, read_file
from unlearnbench.whole_files import write_whole

ANOTHER_FOLDER = "choose another --out"


@dataclass(frozen=True)
class Store:
    """The results in one folder."""

    folder: Path

    @property
    def cells(self) -> Path:
        """The folder of result files."""
        return self.folder / "cells"

    def path(self, key: str) -> Path:
        """Where the result of that key is or would be."""
        return self.cells / f"{key}.json"

    def save(self, result: Result) -> Path:
        """Write a result so that a reader sees all of it or nothing, even after a power cut."""
        path = self.path(result.key)
        write_whole(path, result.model_dump_json(indent=1), ANOTHER_FOLDER)
        return path

    def load(self, key: str) -> Result | Damage | None:
        """The result of that key, what is wrong with its file, or None where there is none."""
        path = self.path(key)
        if not path.exists():
            return None
        found = read_file(path)
        return found if isinstance(found, Damage) else found.result

    def load_all(self) -> tuple[list[Result], list[Damage]]:
        """Every result in the order of keys, and every file that is none.

        Parts that no table looks at are read from the file when asked for, so that thousands of
        results fit in memory.  Raises `UserError` for a folder that cannot be looked into.
        """
        return ResultFolder(self.cells, self.folder / "summary" / "cells.txt").read()

    def save_experiment(self, toml: str) -> Path:
        """Keep the configuration of a run; the same one is kept once."""
        name = hashlib.sha256(toml.encode()).hexdigest()[:12]
        path = self.folder / "experiments" / f"{name}.toml"
        if not path.exists():
            write_whole(path, toml, ANOTHER_FOLDER)
        return path

    def save_log(self, key: str, text: str) -> Path:
        """Keep the traceback of a cell that failed."""
        path = self.folder / "logs" / f"{key}.log"
        write_whole(path, text, ANOTHER_FOLDER)
        return path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; raises `UserError` naming the process that holds it already."""
        _make(self.folder)
        # "a+" keeps the holder's line readable when the lock is not ours.
        with (self.folder / "lock").open("a+") as file:
            _take(file.fileno(), self.folder)
            file.truncate(0)
            file.write(f"process {os.getpid()}\n")
            file.flush()
            self._remove_temporary_files()
            try:
                yield
            finally:
                file.truncate(0)

    def _remove_temporary_files(self) -> None:
        # Only the holder of the lock writes here, so these were left by one that was killed.
        for path in self.folder.glob("*/.*.tmp"):
            path.unlink(missing_ok=True)


def newest(results: list[Result]) -> tuple[list[Result], list[Result]]:
    """The results without those that a newer version of the software has measured again.

    Two results answer the same question if their identities agree outside `software`.
    Returns the kept ones in the given order, and the superseded ones.
    """
    latest: dict[str, Result] = {}
    for result in results:
        question = question_of(result)
        if question not in latest or latest[question].started_at < result.started_at:
            latest[question] = result
    kept = {result.key for result in latest.values()}
    return [r for r in results if r.key in kept], [r for r in results if r.key not in kept]


def question_of(result: Result) -> str:
    """What a result answers, whatever software measured it."""
    from unlearnbench.identity import question_in

    return question_in(result.identity)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; {ANOTHER_FOLDER}") from error


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with suppress(OSError):
            holder = (folder / "lock").read_text().strip()
        raise UserError(
            f"{folder} is being written by {holder or 'another process'}; "
            "wait for it or choose another --out"
        ) from None
