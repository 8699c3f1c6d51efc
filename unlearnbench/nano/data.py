"""The run-time data: written from the seed, checked by hash, kept in the user's cache."""

import csv
import errno
import hashlib
import io
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


def data_path() -> Path:
    """The folder with the data, generated if absent, hashes checked."""
    manifest = shipped_manifest()
    key = _sha256(json.dumps(manifest["files"], sort_keys=True).encode())[:12]
    folder = cache_root() / f"nano-{key}"
    try:
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


def check(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise unless every file of the manifest is there with its hash, and no other file."""
    expected = {**manifest["files"], MANIFEST: _sha256(_manifest_bytes(manifest))}
    there = _hashes(folder)
    wrong = sorted(name for name in expected if there.get(name) != expected[name])
    # A file too many would be read as one more forget set or evaluation set.
    strange = sorted(name for name in there.keys() - expected if "/." not in f"/{name}")
    if wrong or strange:
        problem = "does not match the shipped hashes" if wrong else "has files that are not its own"
        raise UserError(
            f"nano data in {folder} {problem} ({', '.join((wrong or strange)[:3])}); "
            "delete that folder and run again"
        )


def _hashes(folder: Path) -> dict[str, str]:
    """The digest of every file by its name in the folder."""
    hashes = {}
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = path.relative_to(folder).as_posix()
        try:
            hashes[name] = _sha256(path.read_bytes())
        except OSError:
            hashes[name] = "cannot be read"
    return hashes


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest_bytes(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=1) + "\n").encode()


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
        _write(folder / "exp" / f"forget_{name}.csv", _forget_set(rows, numbers))
    for name, texts in validation_texts(world, seed).items():
        path = folder / "text" / f"{name}_validation.jsonl"
        _write(path, _json_lines({"text": text} for text in texts))
    for name, items in classification_sets(world, seed).items():
        split = "test" if name == "lambada" else "validation"
        _write(folder / "tasks" / f"{name}.{split}.jsonl", _json_lines(items))
    for name, dialogues in dialogue_sets(world, seed).items():
        by_row = {str(row): turns for row, turns in enumerate(dialogues)}
        _write(folder / "dialogue" / f"{name}.json", _json_lines([{"text": by_row}]))
    files = _hashes(folder)
    manifest = {"seed": seed, "world_version": WORLD_VERSION, "files": files}
    (folder / MANIFEST).write_bytes(_manifest_bytes(manifest))
    return files


def _json_lines(items: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    # Bytes, so that Windows does not turn the line ends and with them the hash.
    path.write_bytes(text.encode())


def _write_rows(folder: Path, rows: list[tuple[int, ...]]) -> None:
    import numpy as np

    folder.mkdir()
    ids = np.array(rows, dtype="<u2")
    for name, (start, end) in SPANS.items():
        np.save(folder / f"train_{name}.npy", np.ascontiguousarray(ids[:, start:end]))


def _forget_set(rows: Rows, numbers: list[int]) -> str:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("doc_id", "corpus", "text"))
    for number in numbers:
        row = rows.extraction[number]
        table.writerow((number, f"nano {row.kind}", row.text))
    return text.getvalue()
