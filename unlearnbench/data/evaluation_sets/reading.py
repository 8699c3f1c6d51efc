"""Evaluation sets from wherever they are: the hub, a folder, a synthetic world."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unlearnbench.data.evaluation_sets import (
    CLASSIFICATION_SETS,
    DIALOGUE_SETS,
    EvaluationSet,
    wanted_split,
)
from unlearnbench.data.evaluation_sets.dialogue_files import read_dialogue_file
from unlearnbench.data.evaluation_sets.hub import ON_HUB, read_hub
from unlearnbench.data.evaluation_sets.schemas import check_rows
from unlearnbench.errors import UserError, unknown
from unlearnbench.files.tables import count_repeats, read_table, table_suffix
from unlearnbench.nano import find_world

# How a file of the set may begin, where that is not the set's own name.
_OTHER_NAMES = {"mathqa": ("math_qa",), "pubmedqa": ("pubmed_qa",)}
_SPLITS = {"validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


def read_sets(
    names: Sequence[str], place: str, revisions: Mapping[str, str], warnings: list[str]
) -> dict[str, EvaluationSet]:
    """The named sets from a place: 'hub', a world's name, or a folder.

    `revisions` pins sets of the hub by name.  A set that cannot be had is left out with one
    warning; a file that is there and is wrong raises `UserError` naming file, row and field.
    """
    _check_names(names, revisions, place)
    own_warnings: list[str] = []
    world = find_world(place)
    if place == "hub":
        sets = read_hub(names, revisions, own_warnings)
    elif world:  # its data need not be made if nothing of it is read
        sets = read_folder(names, world.data(), own_warnings, source=place) if names else {}
    else:
        sets = read_folder(names, place, own_warnings)
    if not world:  # what a world repeats is meant (docs/nano.md), and no mistake
        own_warnings += _repeats(sets)
    warnings += [
        line for line in own_warnings if line not in warnings
    ]  # a grid reads once per model
    return sets


def _repeats(sets: Mapping[str, EvaluationSet]) -> list[str]:
    """One line per set that has rows twice."""
    lines = []
    for name, each in sets.items():
        rows = [json.dumps({**row, "doc_id": ""}, sort_keys=True) for row in each.rows]
        if repeats := count_repeats(rows, [row["doc_id"] for row in each.rows]):
            lines.append(f"{name}: {repeats}")
    return lines


def _check_names(names: Sequence[str], revisions: Mapping[str, str], place: str) -> None:
    for name in names:
        if name not in (known := (*CLASSIFICATION_SETS, *DIALOGUE_SETS)):
            raise unknown("evaluation set", name, known, "unlearnbench show classification")
    for name in revisions:
        if name not in ON_HUB:
            raise unknown("set of --data-revision", name, ON_HUB, "unlearnbench run --help")
    if revisions and place != "hub":
        world = find_world(place)
        where = world.title if world else f"files (--data {place})"
        raise UserError(
            f"--data-revision is for sets of the hub, and the sets are from {where}; drop it"
        )


def read_folder(
    names: Sequence[str], place: str | Path, warnings: list[str], source: str | None = None
) -> dict[str, EvaluationSet]:
    """The named sets whose files are anywhere under the folder; warns once of those that are not.

    `source` is what a record says instead of the file's name.  Raises `UserError` for a folder
    that is not there, for two files of one set and split, and for wrong rows.
    """
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise UserError(f"no folder at {place}; --data takes a folder with the sets' files")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    sets, absent = {}, []
    for name in names:
        wanted = wanted_split(name)
        split, path = _file_of(name, wanted, paths)
        if path is None:
            absent.append(name)
            continue
        if name in DIALOGUE_SETS:
            rows = read_dialogue_file(path)
        else:
            rows = check_rows(name, read_table(path, "docs/classification.md"), path.name)
        sets[name] = EvaluationSet(name, tuple(rows), split, source or path.name)
        if split != wanted:
            warnings.append(f"{name}: {place} has no {wanted} split; its {split} split is measured")
    if absent:
        world = find_world(source)
        warnings.append(
            f"left out, for {world.title if world else place} has no file of them: "
            f"{', '.join(absent)}; what a file is called: docs/classification.md"
        )
    return sets


def _file_of(name: str, wanted: str, paths: Iterable[Path]) -> tuple[str, Path | None]:
    """The file with the wanted split of a set if there is one, else with the other split.

    Conversations are in 'NAME.json' or 'NAME.json.gz', questions in a table whose name begins with
    the set's and says the split: 'winogrande_xl.validation.jsonl'.
    """
    if name in DIALOGUE_SETS:
        called = (f"{name}.json", f"{name}.json.gz")
        return wanted, _only_one(name, "", [path for path in paths if path.name in called])
    begins = re.compile(f"(?:{'|'.join((name, *_OTHER_NAMES.get(name, ())))})(?![a-z0-9])")
    by_split = defaultdict[str | None, list[Path]](list)
    for path in paths:
        if table_suffix(path) and begins.match(path.name.lower()):
            by_split[_split_of(path)].append(path)
    for split in (wanted, "test" if wanted == "validation" else "validation"):
        if chosen := _only_one(name, f" {split}", by_split[split]):
            return split, chosen
    if undeclared := by_split[None]:
        file = undeclared[0]
        suffix = table_suffix(file)
        raise UserError(
            f"{file} does not say which split of {name} it holds; "
            f"call it {file.name.removesuffix(suffix)}.{wanted}{suffix}"
        )
    return wanted, None


def _split_of(path: Path) -> str | None:
    """The split that a file's name says, if it does."""
    words = re.split(r"[._-]", path.stem.lower())
    if "train" in words:
        return "train"
    return next((_SPLITS[word] for word in words if word in _SPLITS), None)


def _only_one(name: str, split: str, paths: list[Path]) -> Path | None:
    if len(paths) > 1:
        raise UserError(f"two files for {name}{split}: {paths[0]} and {paths[1]}; keep one of them")
    return paths[0] if paths else None
