"""Where computed things are kept between runs: always safe to delete, never believed unchecked."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_whole

_N_DIGEST = 32  # bytes of SHA-256
_READ = ("*.json", "*.txt", "*.jinja", "*.model")  # by transformers, whatever a result's key holds
_PRIVATE = "UNLEARNBENCH_PRIVATE_CACHE"  # set by `private_entries`
_OF_ROWS = ("examinations", "embeddings", "rows_known")
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


@contextmanager
def private_entries(folder: Path) -> Iterator[None]:
    """Keep what is computed of rows there instead, also in processes that begin inside.

    What a model wrote after a row is the row, if the model knows it.
    """
    before = os.environ.get(_PRIVATE)
    os.environ[_PRIVATE] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PRIVATE]
        else:
            os.environ[_PRIVATE] = before


def _place(path: Path) -> Path:
    private = os.environ.get(_PRIVATE)
    if private and path.parent.name in _OF_ROWS:
        return Path(private) / path.parent.name / path.name
    return path


def read_entry(path: Path) -> bytes | None:
    """What `write_entry` put there under this very name; None if it is absent or damaged."""
    try:
        stored = _place(path).read_bytes()
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
        write_whole(_place(path), _digest(path, content) + content, _NOT_KEPT, durable=False)
    except UserError as error:
        warnings.warn(str(error), stacklevel=2)


def _digest(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + b"\0" + content).digest()


def checked_once(folder: Path, what: str, check: Callable[[], Any]) -> Any:
    """The JSON that `check` says of a folder's files, asked once for each content and version.

    Checking a model builds its network without the weights, for which torch and transformers are
    loaded: seconds, which a run that comes again need not wait for.  `what` names the question,
    and the content of whatever is not read here: weights, or files elsewhere.  What `check` raises
    is raised each time.
    """
    try:
        digest = _sha256(folder, what)
    except OSError:  # a file that cannot be read, of which the check knows more to say
        return check()
    path = cache_root() / "checked" / f"{digest}.json"
    content = read_entry(path)
    if content is not None:
        return json.loads(content)
    answer = check()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it cannot be kept, nothing but time is lost
        write_entry(path, json.dumps(answer).encode())
    return answer


def _sha256(folder: Path, what: str) -> str:
    """Of all that decides what a check says: the files, the libraries, and this package."""
    from unlearnbench.files.software import harness_sha256, package_versions

    software = json.dumps([package_versions(), harness_sha256()], sort_keys=True)
    digest = hashlib.sha256(f"{software}\0{what}\0".encode())
    for path in sorted({path for pattern in _READ for path in folder.glob(pattern)}):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
