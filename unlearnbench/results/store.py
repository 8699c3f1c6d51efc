"""The results folder: the only code that touches result files.

OUT/cells/<key>.json       one result, written whole or not at all
OUT/experiments/<id>.toml  the resolved configuration of every run
OUT/logs/<key>.log         what a cell said while it ran; the traceback of one that failed
OUT/models/<key>/          the unlearned model, where it was asked for
OUT/summary/cells.txt      makes reading many results quick; can be deleted at any time
OUT/claims/<key>           locked by the process that computes the cell
OUT/lock                   shared by all processes that write here
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_new, write_whole
from unlearnbench.results.claims import Claims
from unlearnbench.results.folder import ResultFolder
from unlearnbench.results.record import Result
from unlearnbench.results.result_file import Damage, read_file

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

    def commit(self, result: Result) -> Result:
        """Keep a result unless the cell has a finished one already; the one that is kept.

        Of two processes that computed the same cell, whatever locks their file system
        knows, the first one's result stays.
        """
        path, content = self.path(result.key), result.model_dump_json(indent=1)
        if write_new(path, content, ANOTHER_FOLDER):
            return result
        found = self.load(result.key)
        if isinstance(found, Result) and found.status != "failed":
            return found
        write_whole(path, content, ANOTHER_FOLDER)
        return result

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

    def claims(self) -> Claims:
        """The claims of this process on cells of the folder."""
        return Claims(self.folder / "claims")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Take part in writing the folder; any number of processes may at the same time.

        The first one clears what killed ones have left.  Raises `UserError` where the
        folder cannot be written.
        """
        _make(self.cells)
        if not os.access(self.cells, os.W_OK):  # told now, not when the first result is there
            raise UserError(f"cannot write to {self.cells}: it is read-only; {ANOTHER_FOLDER}")
        with _opened_lock(self.folder / "lock") as file:
            if _is_taken(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._remove_leftovers()
            _is_taken(file.fileno(), fcntl.LOCK_SH)  # waits for one that is clearing up
            yield

    def _remove_leftovers(self) -> None:
        # Nobody else writes here, so these were left by one that was killed.
        for path in (*self.folder.glob("*/.*.tmp"), *self.folder.glob("claims/*")):
            if path.is_dir():  # a model that was being saved
                shutil.rmtree(path, ignore_errors=True)
                continue
            with suppress(OSError):  # in a shared folder it may be somebody else's
                path.unlink()


def newest(results: list[Result]) -> tuple[list[Result], list[Result]]:
    """The results without those that a newer version of the software has measured again.

    Two results answer the same question if their identities agree outside `software`.
    What the installed version measured counts as the newest, whatever a clock said then.
    Returns the kept ones in the given order, and the superseded ones.
    """
    latest: dict[str, Result] = {}
    for result in results:
        question = question_of(result)
        if question not in latest or _age(latest[question]) < _age(result):
            latest[question] = result
    kept = {result.key for result in latest.values()}
    return [r for r in results if r.key in kept], [r for r in results if r.key not in kept]


def _age(result: Result) -> tuple[bool, str]:
    """Sorts results from the oldest to the newest."""
    from unlearnbench.files.software import harness_sha256, package_versions

    software = result.identity.get("software")
    known = software if isinstance(software, dict) else {}
    made_with = known.get("packages"), known.get("harness")
    return made_with == (package_versions(), harness_sha256()), result.started_at


def question_of(result: Result) -> str:
    """What a result answers, whatever software measured it."""
    from unlearnbench.results.identity import question_in

    return question_in(result.identity)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; {ANOTHER_FOLDER}") from error


@contextmanager
def _opened_lock(path: Path) -> Iterator[IO[str]]:
    try:
        file = path.open("a+")  # NFS shares a lock only on a file that is open for reading
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; {ANOTHER_FOLDER}") from error
    with file:
        yield file


def _is_taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"cannot lock the results folder: {error.strerror}; results need a file system with "
            f"locks (Lustre: mounted with flock): {ANOTHER_FOLDER}"
        ) from error
    return True
