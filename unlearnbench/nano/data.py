"""The nano world's run-time data: written from the seed, checked by hash, kept in the cache."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.nano.cached_data import (
    MANIFEST,
    cached_data,
    json_lines,
    read_manifest,
    write_manifest,
    write_text,
)
from unlearnbench.nano.corpus import unseen_rows, validation_texts
from unlearnbench.nano.rows import Rows, make_rows
from unlearnbench.nano.task_sets import classification_sets, dialogue_sets
from unlearnbench.nano.tokenizer import load_tokenizer
from unlearnbench.nano.world.world import World, make_world

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SEED = 20
WORLD_VERSION = "2"
# Where each part of a row lies, as in the real extraction benchmark.
SPANS = {"preprefix": (0, 100), "prefix": (100, 150), "suffix": (150, 200)}


def shipped_manifest() -> dict[str, Any]:
    """The manifest that the weights were built with: seed, version, hashes."""
    return read_manifest(MANIFEST, "the nano world")


def data_path() -> Path:
    """The folder with the data, generated if absent, hashes checked."""
    return cached_data("nano", "the nano world", shipped_manifest(), write_data)


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
        write_text(folder / "exp" / f"forget_{name}.csv", _forget_set(rows, numbers))
    write_evaluation(folder, world, seed)
    return write_manifest(folder, seed=seed, world_version=WORLD_VERSION)


def write_evaluation(folder: Path, world: World, seed: int) -> None:
    """Write the validation texts, questions and conversations, which no training reads."""
    for name, texts in validation_texts(world, seed).items():
        path = folder / "text" / f"{name}_validation.jsonl"
        write_text(path, json_lines({"text": text} for text in texts))
    for name, items in classification_sets(world, seed).items():
        split = "test" if name == "lambada" else "validation"
        write_text(folder / "tasks" / f"{name}.{split}.jsonl", json_lines(items))
    for name, dialogues in dialogue_sets(world, seed).items():
        by_row = {str(row): turns for row, turns in enumerate(dialogues)}
        write_text(folder / "dialogue" / f"{name}.json", json_lines([{"text": by_row}]))


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
