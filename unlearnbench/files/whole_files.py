"""Files and folders, read whole, and written whole or not at all, to survive a power cut."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from unlearnbench.errors import UserError


def read_regular(path: Path) -> bytes:
    """The content of a file; raises `OSError` also for a pipe, which would wait for a writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a file", str(path))
        return file.read()


def write_whole(path: Path, content: str | bytes, remedy: str, *, durable: bool = True) -> None:
    """Write a file, and its folder, so that a reader sees all of it or the old one.

    `durable` waits until it is on the disk: what can be computed again need not be.
    Raises `UserError` with what to do about it, `remedy`, where it cannot be written.
    """
    with _written_beside(path, content, remedy, durable) as temporary:
        temporary.replace(path)


def write_new(path: Path, content: str | bytes, remedy: str) -> bool:
    """Write a file unless there is one of that name; whether it was written.

    Of several processes that try, on one machine or many, exactly one succeeds.
    Raises `UserError` as `write_whole` does.
    """
    with _written_beside(path, content, remedy) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if path.exists():  # the best that such a file system can do
                return False
            temporary.replace(path)
    return True


# What file systems without hard links answer.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def _written_beside(
    path: Path, content: str | bytes, remedy: str, durable: bool = True
) -> Iterator[Path]:
    """A temporary file with that content, on disk; it is gone afterwards, the folder synced."""
    # Not by process number: on another machine another process may have the same.
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        yield temporary
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; {remedy}") from error
    finally:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A path beside `folder` to write a new folder at, which then takes its place.

    A folder of that name is always a whole one: the old one or the new.  Raises `OSError`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name[:16]}-", suffix=".tmp", dir=folder.parent
    ) as beside:
        new = Path(beside) / "new"
        yield new
        for path in new.rglob("*"):
            _flush(path)
        if folder.exists():
            folder.rename(Path(beside) / "old")
        new.rename(folder)
        _flush(folder.parent)


def _flush(path: Path) -> None:
    """Have the disk hold what was written: a rename that outlives the data would show half."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself can be lost; not every file system can do it.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
