"""A world's data in the user's cache: written from its seed where absent, checked by hash."""

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.files.cache import cache_root
from unlearnbench.nano import WEIGHTS

MANIFEST = "manifest.json"


def read_manifest(name: str, title: str) -> dict[str, Any]:
    """A manifest that is shipped beside the weights: seed, version, hashes."""
    try:
        manifest: dict[str, Any] = json.loads((WEIGHTS / name).read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{title}'s manifest cannot be read ({error}); reinstall unlearnbench"
        ) from error
    return manifest


def cached_data(
    name: str, title: str, manifest: Mapping[str, Any], write: Callable[[Path], object]
) -> Path:
    """The folder with a world's data, generated if absent, hashes checked."""
    key = sha256(json.dumps(manifest["files"], sort_keys=True).encode())[:12]
    folder = cache_root() / f"{name}-{key}"
    try:
        if not folder.is_dir():
            if folder.exists():
                raise FileExistsError(errno.EEXIST, "a file is in the way")
            _generate_into(folder, write)
    except OSError as error:
        raise UserError(
            f"cannot write {title}'s data to {folder} ({error.strerror or error}); free "
            "the place, or set UNLEARNBENCH_CACHE to another folder"
        ) from error
    check(folder, name, manifest)
    return folder


def check(folder: Path, name: str, manifest: Mapping[str, Any]) -> None:
    """Raise unless every file of the manifest is there with its hash, and no other file."""
    expected = {**manifest["files"], MANIFEST: sha256(manifest_bytes(manifest))}
    there = _hashes(folder)
    wrong = sorted(file for file in expected if there.get(file) != expected[file])
    # A file too many would be read as one more forget set or evaluation set.
    strange = sorted(file for file in there.keys() - expected if "/." not in f"/{file}")
    if wrong or strange:
        problem = "does not match the shipped hashes" if wrong else "has files that are not its own"
        raise UserError(
            f"{name} data in {folder} {problem} ({', '.join((wrong or strange)[:3])}); "
            "delete that folder and run again"
        )


def write_manifest(folder: Path, **about: Any) -> dict[str, str]:
    """Write what there is to say of a world's data with the hash of every file; return these."""
    files = _hashes(folder)
    (folder / MANIFEST).write_bytes(manifest_bytes({**about, "files": files}))
    return files


def json_lines(items: Iterable[Mapping[str, Any]]) -> str:
    """A line of JSON for each item."""
    return "".join(json.dumps(item) + "\n" for item in items)


def write_text(path: Path, text: str) -> None:
    """Write a file of the data, in a folder that is made if absent."""
    path.parent.mkdir(exist_ok=True)
    # Bytes, so that Windows does not turn the line ends and with them the hash.
    path.write_bytes(text.encode())


def sha256(content: bytes) -> str:
    """The digest as it is in a manifest."""
    return hashlib.sha256(content).hexdigest()


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """The manifest as its file holds it."""
    return (json.dumps(manifest, indent=1) + "\n").encode()


def _hashes(folder: Path) -> dict[str, str]:
    """The digest of every file by its name in the folder."""
    hashes = {}
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = path.relative_to(folder).as_posix()
        try:
            hashes[name] = sha256(path.read_bytes())
        except OSError:
            hashes[name] = "cannot be read"
    return hashes


def _generate_into(folder: Path, write: Callable[[Path], object]) -> None:
    """Write the data beside its place, then rename: a reader never sees half of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        write(beside)
        try:
            beside.rename(folder)
        except OSError:
            # Another process was first; its data is as good as ours and is checked anyway.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
