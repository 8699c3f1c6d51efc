"""The run-time data: written from the seed, checked by hash, kept in the user's cache."""

import csv
import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.files.cache import cache_root
from unlearnbench.nano import WEIGHTS
from unlearnbench.nano.corpus import unseen_rows, validation_texts
from unlearnbench.nano.rows import Rows, make_rows
from unlearnbench.nano.task_sets import classification_sets, dialogue_sets
from unlearnbench.nano.tokenizer import load_tokenizer
from unlearnbench.nano.world.world import World, make_world

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SEED = 20
WORLD_VERSION = "2"
MANIFEST = "manifest.json"
# Where each part of a row lies, as in the real extraction benchmark.
SPANS = {"preprefix": (0, 100), "prefix": (100, 150), "suffix": (150, 200)}


def shipped_manifest() -> dict[str, Any]:
    """The manifest that the weights were built with: seed, version, hashes."""
    try:
        return json.loads((WEIGHTS / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"the nano world's manifest cannot be read ({error}); reinstall unlearnbench"
        ) from error


def data_path(refresh: bool = False) -> Path:
    """The folder with the data, generated if absent (or `refresh`), hashes checked."""
    manifest = shipped_manifest()
    folder = cache_root() / f"nano-{data_key(manifest['files'])}"
    try:
        if refresh and folder.is_dir():
            shutil.rmtree(folder)
        if not folder.is_dir():
            if folder.exists():
                raise FileExistsError(errno.EEXIST, "a file is in the way")
            _generate_into(folder)
    except OSError as error:
        raise UserError(
            f"cannot write the nano world's data to {folder} ({error.strerror or error}); free "
            "the place, or set UNLEARNBENCH_CACHE to another folder"
        ) from error
    check(folder, manifest)
    return folder


def data_key(files: dict[str, str]) -> str:
    """The short hash that names the cache folder."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]


def check(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise unless every file of the manifest is there with its hash, and no other file."""
    expected = {**manifest["files"], MANIFEST: _sha256(_manifest_text(manifest))}
    wrong = [name for name, digest in sorted(expected.items()) if _digest(folder / name) != digest]
    if wrong:
        raise UserError(
            f"nano data in {folder} does not match the shipped hashes ({', '.join(wrong[:3])}); "
            f"delete that folder and run again"
        )
    # A file too many would be read as one more forget set or evaluation set.
    if strange := sorted(_visible_files(folder) - set(expected)):
        raise UserError(
            f"nano data in {folder} has files that are not its own ({', '.join(strange[:3])}); "
            f"delete that folder and run again"
        )


def _visible_files(folder: Path) -> set[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return {name.as_posix() for name in names if not name.name.startswith(".")}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _manifest_text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1) + "\n"


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "missing"


def _generate_into(folder: Path) -> None:
    """Write the data beside its place, then rename: a reader never sees half of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        write_data(beside)
        try:
            beside.rename(folder)
        except OSError:
            # Another process was first; its data is as good as ours and is checked anyway.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def make_world_and_rows(
    tokenizer: "Tokenizer | None" = None, seed: int = SEED
) -> tuple[World, Rows]:
    """The world and its rows, the same on every machine."""
    world = make_world()
    return world, make_rows(world, tokenizer or load_tokenizer(), seed)


def write_data(
    folder: Path, tokenizer: "Tokenizer | None" = None, seed: int = SEED
) -> dict[str, str]:
    """Write every data file and the manifest; return the files' hashes."""
    world, rows = make_world_and_rows(tokenizer, seed)
    _write_rows(folder / "extraction", [row.ids for row in rows.extraction])
    _write_rows(folder / "unseen", unseen_rows(world, tokenizer or load_tokenizer(), rows))
    for name, numbers in rows.forget.items():
        _write_forget_set(folder / "exp" / f"forget_{name}.csv", rows, numbers)
    for name, texts in validation_texts(world, seed).items():
        path = folder / "text" / f"{name}_validation.jsonl"
        _write_lines(path, [{"text": text} for text in texts])
    for name, items in classification_sets(world, seed).items():
        split = "test" if name == "lambada" else "validation"
        _write_lines(folder / "tasks" / f"{name}.{split}.jsonl", items)
    for name, dialogues in dialogue_sets(world, seed).items():
        by_row = {str(row): turns for row, turns in enumerate(dialogues)}
        _write_within(folder / "dialogue" / f"{name}.json", json.dumps({"text": by_row}) + "\n")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): _digest(path) for path in paths}
    manifest = {"seed": seed, "world_version": WORLD_VERSION, "files": files}
    _write(folder / MANIFEST, _manifest_text(manifest))
    return files


def _write_lines(path: Path, items: Iterable[dict[str, Any]]) -> None:
    _write_within(path, "".join(json.dumps(item) + "\n" for item in items))


def _write_within(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    _write(path, text)


def _write(path: Path, text: str) -> None:
    # Bytes, so that Windows does not turn the line ends and with them the hash.
    path.write_bytes(text.encode())


def _write_rows(folder: Path, rows: list[tuple[int, ...]]) -> None:
    import numpy as np

    folder.mkdir()
    ids = np.array(rows, dtype="<u2")
    for name, (start, end) in SPANS.items():
        with (folder / f"train_{name}.npy").open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(ids[:, start:end]), version=(1, 0))


def _write_forget_set(path: Path, rows: Rows, numbers: list[int]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("doc_id", "corpus", "text"))
        for number in numbers:
            row = rows.extraction[number]
            table.writerow((number, f"nano {row.kind}", row.text))
