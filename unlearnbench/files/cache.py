"""Where computed things are kept between runs: always safe to delete, never believed unchecked."""

import hashlib
import os
import warnings
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_whole

_N_DIGEST = 32  # bytes of SHA-256
_NOT_KEPT = (
    "what it would keep is computed again each time: free it, or set UNLEARNBENCH_CACHE to "
    "another folder"
)


def cache_root() -> Path:
    """The cache folder: $UNLEARNBENCH_CACHE, else $XDG_CACHE_HOME or ~/.cache, `unlearnbench`."""
    if given := os.environ.get("UNLEARNBENCH_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "unlearnbench"


def read_entry(path: Path) -> bytes | None:
    """What `write_entry` put there under this very name; None if it is absent or damaged."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, content = stored[:_N_DIGEST], stored[_N_DIGEST:]
    return content if digest == _digest(path, content) else None


def write_entry(path: Path, content: bytes) -> None:
    """Keep computed bytes, whole or not at all, with a checksum over them and their name.

    One entry copied over another is thereby noticed as damage is.  A cache that cannot be written
    (a full disk, a read-only home) costs the time to compute again and a warning, never the run.
    """
    try:
        write_whole(path, _digest(path, content) + content, _NOT_KEPT, durable=False)
    except UserError as error:
        warnings.warn(str(error), stacklevel=2)


def _digest(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + b"\0" + content).digest()
