"""The results folder: the only code that touches result files.

OUT/cells/<key>.json       the header of one result, written whole or not at all
OUT/cells/<key>.<digest>.documents.jsonl.gz   its documents, written before it
OUT/experiments/<id>.toml  the resolved configuration of every run
OUT/tuning/<method>.<id>.json   which cells are trials of a search (`results/tunings.py`)
OUT/runs/<id>.json         which cells a run asked for, trials or not
OUT/logs/<key>.log         what a cell said while it ran; the traceback of one that failed
OUT/models/<key>/          the unlearned model, where it was asked for
OUT/claims/<key>           locked by the process that computes the cell
OUT/lock                   shared by all processes that write here
OUT/before-upgrade/        what `unlearnbench upgrade` has read
"""

import fcntl
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_new, write_whole
from unlearnbench.results.claims import Claims, has_locked
from unlearnbench.results.files import DOCUMENTS, Damage, is_older, read_file, written
from unlearnbench.results.record import Result, question_in

ANOTHER_FOLDER = "choose another --out"
_FOLDER = "the results folder"


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
        path, files = self.path(result.key), written(result)
        write_whole(self.cells / files.documents_name, files.documents, ANOTHER_FOLDER)
        write_whole(path, files.header, ANOTHER_FOLDER)  # last: whoever sees it sees all
        return path

    def commit(self, result: Result) -> Result:
        """Keep a result unless the cell has a finished one already; the one that is kept.

        Of two processes that computed the same cell, whatever locks their file system
        knows, the first one's result stays.
        """
        path, files = self.path(result.key), written(result)
        documents = self.cells / files.documents_name
        write_whole(documents, files.documents, ANOTHER_FOLDER)
        if write_new(path, files.header, ANOTHER_FOLDER):
            return result
        stored = self.load(result.key)
        if not isinstance(stored, Result) or stored.status == "failed":
            self.save(result)
            return result
        if written(stored).documents_name != files.documents_name:
            documents.unlink(missing_ok=True)
        return stored

    def load(self, key: str) -> Result | Damage | None:
        """The result of that key, what is wrong with its files, or None where there is none."""
        path = self.path(key)
        return read_file(path) if path.exists() else None

    def load_all(self, documents: bool = True) -> tuple[list[Result], list[Damage]]:
        """Every result in the order of keys, and every file that is none.

        Without `documents` thousands of results fit in memory; whoever needs those of a result
        asks it for them (`Result.with_outcomes`, `Result.in_full`).  Raises `UserError` for a
        folder that cannot be looked into; one that is not there is empty.
        """
        results: list[Result] = []
        damages: list[Damage] = []
        for name in _headers(self.cells):
            read = read_file(self.cells / name, documents)
            if isinstance(read, Result):
                results.append(read)
            elif os.path.lexists(read.path):  # else it was removed since the folder was read
                damages.append(read)
        return results, damages

    def older(self) -> list[Path]:
        """The files that hold a result of an older version, as far as a look at them tells."""
        return [self.cells / name for name in _headers(self.cells) if is_older(self.cells / name)]

    def replace_older(self, path: Path, result: Result) -> None:
        """Write a result that an older version's file holds, and move that file away.

        The old file is elsewhere before the new ones are there, and gone only afterwards, so
        that nothing is lost at any moment.  Log and model follow the result's key.  A result
        that is there under its key already stays.
        """
        kept = self.folder / "before-upgrade" / path.name
        write_whole(kept, path.read_bytes(), ANOTHER_FOLDER)
        if result.key == path.stem:
            self.save(result)
            return
        if not isinstance(self.load(result.key), Result):
            self.save(result)
        for folder, end in (("logs", ".log"), ("models", "")):
            old, new = (self.folder / folder / f"{key}{end}" for key in (path.stem, result.key))
            if old.exists() and not new.exists():
                old.rename(new)
        with (kept.parent / "keys.txt").open("a", encoding="utf-8") as keys:
            keys.write(f"{path.stem} {result.key}\n")
        path.unlink()

    def renamed(self) -> dict[str, str]:
        """The key that a result has since `upgrade`, by the one before, which studies may name."""
        keys = self.folder / "before-upgrade" / "keys.txt"
        try:
            lines = keys.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return {}
        return {old: new for old, _, new in (line.partition(" ") for line in lines)}

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
        with self._opened_lock() as lock:
            if not os.access(self.cells, os.W_OK):  # told now, not when the first result is there
                raise UserError(f"cannot write to {self.cells}: it is read-only; {ANOTHER_FOLDER}")
            if has_locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, _FOLDER):
                self._remove_leftovers()
            has_locked(lock, fcntl.LOCK_SH, _FOLDER)  # waits for one that is clearing up
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Write the folder while nobody else does; raises `UserError` where somebody is."""
        with self._opened_lock() as lock:
            if not has_locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, _FOLDER):
                raise UserError(f"a run is writing to {self.folder}; wait for its end")
            yield

    @contextmanager
    def _opened_lock(self) -> Iterator[int]:
        path = self.folder / "lock"
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            file = path.open("a+")  # NFS shares a lock only on a file that is open for reading
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; {ANOTHER_FOLDER}") from error
        with file:
            yield file.fileno()

    def _remove_leftovers(self) -> None:
        # Nobody else writes here, so these were left by one that was killed.
        left = (*self.folder.glob("*/.*.tmp"), *self.folder.glob("claims/*"))
        for path in (*left, *self._documents_of_nothing()):
            if path.is_dir():  # a model that was being saved
                shutil.rmtree(path, ignore_errors=True)
                continue
            with suppress(OSError):  # in a shared folder it may be somebody else's
                path.unlink()

    def _documents_of_nothing(self) -> Iterator[Path]:
        """Documents whose header was never written, or gave way to another one."""
        by_key: dict[str, list[Path]] = defaultdict(list)
        for path in self.cells.glob(f"*{DOCUMENTS}"):
            by_key[path.name.partition(".")[0]].append(path)
        for key, paths in by_key.items():
            header = self.path(key)
            if len(paths) > 1 or not header.exists():
                content = header.read_bytes() if header.is_file() else b""
                yield from (p for p in paths if p.name.split(".")[1].encode() not in content)


def newest(results: list[Result]) -> tuple[list[Result], list[Result]]:
    """The results without those that a newer version of the software has measured again.

    Two results answer the same question if their identities agree outside `software`.
    What the installed version measured counts as the newest, whatever a clock said then.
    Returns the kept ones in the given order, and the superseded ones.
    """
    latest: dict[str, Result] = {}
    for result in results:
        question = question_in(result.identity)
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


def _headers(cells: Path) -> list[str]:
    """The names of every file that claims to be a result, in order."""
    try:
        return sorted(path.name for path in cells.iterdir() if path.name.endswith(".json"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(
            f"cannot look into {cells}: {error.strerror}; make it readable or name another folder"
        ) from error
