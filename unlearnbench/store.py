"""The results folder: the only code that touches result files.

OUT/cells/<key>.json       one result, written whole or not at all
OUT/experiments/<id>.toml  the resolved configuration of every run
OUT/logs/<key>.log         the traceback of a cell that failed
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
from unlearnbench.result import SCHEMA_VERSION, Result
from unlearnbench.whole_files import write_whole

ANOTHER_FOLDER = "choose another --out"


@dataclass(frozen=True)
class Damage:
    """A file among the results that is not one, and why."""

    path: Path
    reason: str


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
        return _read(path) if path.exists() else None

    def load_all(self) -> tuple[list[Result], list[Damage]]:
        """Every result in the order of keys, and every file that is none."""
        results: list[Result] = []
        damages: list[Damage] = []
        for path in sorted(self.cells.glob("*.json")):
            found = _read(path)
            if isinstance(found, Damage):
                damages.append(found)
            else:
                results.append(found)
        return results, damages

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
    from unlearnbench.identity import canonical

    return canonical({k: v for k, v in result.identity.items() if k != "software"})


def _read(path: Path) -> Result | Damage:
    from pydantic import ValidationError
    from pydantic_core import from_json

    from unlearnbench.identity import key_of

    try:
        raw = from_json(path.read_bytes())
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            return Damage(path, f"schema version {version}, this program reads {SCHEMA_VERSION}")
        result = Result.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return Damage(path, f"not a result: {where}: {first['msg']}")
    except (OSError, ValueError) as error:
        return Damage(path, f"damaged: {error}")
    if result.key != path.stem or result.key != key_of(result.identity):
        return Damage(path, "the key is not that of its content; the file was edited or renamed")
    return result


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
