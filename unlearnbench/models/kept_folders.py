"""Model folders made of something else, a GGUF file or an adapter: made once, kept in the cache."""

from collections.abc import Callable
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.files.cache import cache_root, read_entry, write_entry
from unlearnbench.files.hashing import files_sha256
from unlearnbench.files.whole_files import whole_folder


def kept_folder(kind: str, key: str, name: str, write: Callable[[Path], None]) -> Path:
    """The folder `key` of that kind in the cache; `write` fills it where it is absent or damaged.

    Of several processes one writes it, and the others wait.  `name` is what it is made of, for
    messages.  Raises `UserError` where it cannot be kept.
    """
    from filelock import FileLock

    folder = cache_root() / kind / key
    if _is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not _is_whole(folder):  # another process may have written it in the meantime
                _write(folder, write)
    except OSError as error:
        raise UserError(
            f"cannot keep {name} as a model folder in {folder.parent}: "
            f"{error.strerror or error}; make room, or set UNLEARNBENCH_CACHE to another folder"
        ) from error
    return folder


def megabytes(folder: Path) -> str:
    """What a folder's files take on the disk: '540 MB'."""
    return f"{sum(file.stat().st_size for file in _files(folder)) / 1e6:.0f} MB"


def _write(folder: Path, write: Callable[[Path], None]) -> None:
    from safetensors import SafetensorError

    try:
        with whole_folder(folder) as new:
            write(new)
    except SafetensorError as error:  # its word for a full disk
        raise OSError(0, str(error)[:200]) from error
    write_entry(folder.with_suffix(".sha256"), _sha256(folder))


def _is_whole(folder: Path) -> bool:
    """Whether the folder is there, and as it was written."""
    written = read_entry(folder.with_suffix(".sha256"))
    try:
        return written is not None and written == _sha256(folder)
    except OSError:
        return False


def _sha256(folder: Path) -> bytes:
    return files_sha256(_files(folder), folder).encode()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
