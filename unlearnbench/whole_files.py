"""Files that are written whole or not at all, and survive a power cut."""

import os
from contextlib import suppress
from pathlib import Path

from unlearnbench.errors import UserError


def write_whole(path: Path, content: str | bytes, remedy: str) -> None:
    """Write a file, and its folder, so that a reader sees all of it or the old one.

    Raises `UserError` with what to do about it, `remedy`, where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror}; {remedy}") from error
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself can be lost; not every file system can do it.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
