"""SHA-256 of what a result depends on: weight files, data files, token ids."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from unlearnbench.files.cache import cache_root, read_entry, write_entry

_REMEMBER_FROM = 64 << 20  # bytes; smaller files are hashed faster than looked up


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes; of a large file remembered by path, size and time of change."""
    status = path.stat()
    if status.st_size < _REMEMBER_FROM:
        return _hash_file(path)
    # The time of any change, too, which nobody can set: copies may keep the time of writing.
    when = f"{status.st_mtime_ns}\n{status.st_ctime_ns}\n{status.st_ino}"
    stamp = f"{path.resolve()}\n{status.st_size}\n{when}"
    remembered = cache_root() / "hashes" / text_sha256(stamp)
    if (kept := read_entry(remembered)) is not None:
        return kept.decode()
    digest = _hash_file(path)
    write_entry(remembered, digest.encode())
    return digest


def stamp_of(place: str | None) -> tuple[tuple[str, int, int], ...]:
    """Name, time of change and size of a file, or of each below a folder; nothing where none is."""
    path = None if place is None else Path(place).expanduser()
    if path is None or not path.exists():
        return ()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = ((str(file), file.stat()) for file in files if file.is_file())
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found)


def files_sha256(paths: Iterable[Path], folder: Path | None = None) -> str:
    """One digest over several files: their names (as seen from `folder`) and bytes, sorted."""
    names = {path: path.relative_to(folder).as_posix() if folder else path.name for path in paths}
    lines = sorted(f"{name} {file_sha256(path)}" for path, name in names.items())
    return text_sha256("\n".join(lines))


def text_sha256(*texts: str) -> str:
    """Hex digest of texts, each preceded by its length so that no two lists collide."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
