"""The studies stored under a results folder: key and ratings, and what of them cannot be used."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.filled import Filled, files_in, read_filled
from unlearnbench.ratings.human.key import Key, read_key
from unlearnbench.ratings.human.sheet import SHEET_NAME
from unlearnbench.ratings.human.stand_ins import why_mixed

FOLDER = "human"
_KEY = "-key.json"


@dataclass(frozen=True)
class Study:
    """A key and the ratings that can be used with it."""

    name: str
    key: Key
    filled: tuple[Filled, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_rehearsal(self) -> bool:
        """Whether rules rate in it."""
        return bool(self.key.stand_ins)

    def within(self, result_keys: Collection[str]) -> "tuple[Study, list[str]]":
        """What of it was drawn from those results, and a sentence if that is not all."""
        items = {i: e for i, e in self.key.items.items() if e.result_key in result_keys}
        outside = [e for i, e in self.key.items.items() if i not in items]
        if not outside:
            return self, []
        names = dict.fromkeys(f"{entry.model}, {entry.method}" for entry in outside)
        told = f"left out {len(outside)} items of study {self.name}, which come from results that "
        told += f"are not in this report: {'; '.join(list(names)[:3])}{'; …' * (len(names) > 3)}"
        key = self.key.model_copy(update={"items": items})
        filled = (one.only(items) for one in self.filled)
        kept = replace(self, key=key, filled=tuple(one for one in filled if one.scores))
        return kept, [told]


@dataclass(frozen=True)
class Stored:
    """The readable studies of a folder, and a sentence for each that is none."""

    studies: tuple[Study, ...]
    warnings: tuple[str, ...]


def stored_studies(folder: Path) -> Stored:
    """Every study NAME whose key is FOLDER/NAME-key.json, with the ratings in FOLDER/NAME."""
    studies, warnings = [], [*_without_key(folder)]
    for path in sorted(folder.glob(f"*{_KEY}")):
        name = path.name.removesuffix(_KEY)
        try:
            studies.append(_study(folder / name, read_key(path)))
        except UserError as error:
            warnings.append(f"left out study {name}: {error}")
    return Stored(tuple(studies), tuple(warnings))


def _without_key(folder: Path) -> list[str]:
    names = sorted(path.parent.name for path in folder.glob(f"*/{SHEET_NAME}"))
    return [
        f"left out study {name}: its key is not at {folder / name}{_KEY}; put it there"
        for name in names
        if not (folder / f"{name}{_KEY}").exists()
    ]


def _study(folder: Path, key: Key) -> Study:
    # The sheet itself is among them: somebody may have filled it instead of a copy.
    found = [_read(name, path, key) for name, path in files_in(folder).items()]
    filled = tuple(one for one in found if isinstance(one, Filled) and one.scores)
    warnings = [one for one in found if isinstance(one, str)]
    if not filled and not warnings:
        warnings.append(
            f"nobody has rated study {folder.name} yet; do: unlearnbench human serve {folder}"
        )
    return Study(folder.name, key, filled, tuple(warnings))


def _read(annotator: str, path: Path, key: Key) -> Filled | str:
    """Somebody's ratings, or why none of them are used: half a file could be the wrong half."""
    try:
        found = read_filled(annotator, path, key.items)
    except UserError as error:
        return f"left out ratings: {error}"
    wrong = [problem for problem in found.problems if not problem.is_missing]
    if wrong:
        return f"left out ratings with {len(wrong)} problems, the first: {wrong[0]}"
    why = why_mixed(key, found) if found.scores else None
    return found if why is None else f"left out ratings: {path}: {why}"
