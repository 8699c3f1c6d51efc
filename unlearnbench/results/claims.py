"""Who computes which cell, when several processes or machines write to one results folder.

OUT/claims/<key> is locked by whoever computes that cell.  The lock goes with its process,
however that ends, so there is nothing to expire and no clock to trust.
"""

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from unlearnbench.errors import UserError


@dataclass
class Claims:
    """The cells that this process has claimed in a results folder."""

    folder: Path  # OUT/claims
    _held: dict[str, int] = field(default_factory=dict, repr=False)  # key -> file descriptor

    def take(self, key: str) -> bool:
        """Claim a cell; false if another process has it.

        Raises `UserError` where the folder cannot be written.
        """
        if key in self._held:
            return True
        path = self.folder / key
        while True:
            descriptor = _open(path)
            if descriptor is None:
                return False
            try:
                if not has_locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, path):
                    return False
                if _is_still(path, descriptor):  # else its holder removed it: claim the new one
                    self._held[key] = descriptor
                    return True
            finally:
                if key not in self._held:
                    os.close(descriptor)

    def release(self, key: str) -> None:
        """Let others have it; nothing to do if it was not ours."""
        descriptor = self._held.pop(key, None)
        if descriptor is None:
            return
        with suppress(OSError):  # removed while it is locked, so that nobody locks what is gone
            (self.folder / key).unlink()
        os.close(descriptor)

    def release_all(self) -> None:
        """Let others have every one."""
        for key in list(self._held):
            self.release(key)


def _open(path: Path) -> int | None:
    """A descriptor; None while this process has as many files open as it may."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.EMFILE:
            return None
        raise UserError(f"cannot write {path}: {error.strerror}; choose another --out") from error


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def has_locked(descriptor: int, how: int, name: object) -> bool:
    """Lock an open file; false if another process has it.

    Raises `UserError`, calling the file by `name`, where the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"cannot lock {name}: {error.strerror}; results need a file system with locks "
            "(Lustre: mounted with flock): choose another --out"
        ) from error
    return True
