"""Where computed things are kept between runs: always safe to delete."""

import os
import tempfile
from pathlib import Path


def cache_root() -> Path:
    """The cache folder: $UNLEARNBENCH_CACHE, else $XDG_CACHE_HOME or ~/.cache, `unlearnbench`."""
    if given := os.environ.get("UNLEARNBENCH_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "unlearnbench"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it.

    A cache that cannot be written (a full disk, a read-only home) costs the time
    to compute again, never the run.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except OSError:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
