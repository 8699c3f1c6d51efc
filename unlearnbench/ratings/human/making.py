"""Making a study's files: the folder annotators get, and the key beside it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.drawing import Drawn
from unlearnbench.ratings.human.key import Key, write_key
from unlearnbench.ratings.human.ratings import ratings_in
from unlearnbench.ratings.human.rows import StudyRow
from unlearnbench.ratings.human.scale import instructions
from unlearnbench.ratings.human.sheet import SHEET_NAME, write_sheet
from unlearnbench.ratings.human.spreadsheets import write_whole
from unlearnbench.results.record import Result

INSTRUCTIONS_NAME = "instructions.md"
T = TypeVar("T")


@dataclass(frozen=True)
class StudyFiles:
    """Where a study's files are."""

    folder: Path
    key: Path

    @classmethod
    def of(cls, folder: Path, key: Path | None = None) -> "StudyFiles":
        """The files of a folder; the key lies beside it unless another place is named.

        Raises `UserError` for a key within the folder, which annotators get whole.
        """
        named = folder if folder.name not in ("", "..") else folder.resolve()
        beside = named.parent / f"{named.name}-key.json"
        if key is not None and key.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"the key {key} would lie in the folder that annotators get; take --key {beside}"
            )
        return cls(folder, key or beside)

    @property
    def sheet(self) -> Path:
        """The sheet."""
        return self.folder / SHEET_NAME

    @property
    def instructions(self) -> Path:
        """What annotators are told."""
        return self.folder / INSTRUCTIONS_NAME

    def refuse_to_overwrite(self) -> None:
        """Raise `UserError` if any of them is there: it may hold somebody's ratings."""
        own = [path for path in (self.sheet, self.key, self.instructions) if path.exists()]
        for path in (*own, *ratings_in(self.folder)):
            raise UserError(
                f"{path} is there already, and ratings must not be lost; "
                f"make the new study elsewhere: --out {self.folder}-2"
            )

    def write(self, drawn: Sequence[Drawn], seed: int) -> None:
        """Write key, instructions and sheet, each whole; the key first, for it is the map."""
        self.refuse_to_overwrite()
        write_key(self.key, key_of(self, drawn, seed))
        write_whole(self.instructions, instructions())
        write_sheet(self.sheet, [one.item for one in drawn])


def key_of(
    files: StudyFiles, drawn: Sequence[Drawn], seed: int, stand_ins: Mapping[str, str] | None = None
) -> Key:
    """The key of what was drawn; with `stand_ins`, formulas by name, that of a rehearsal."""
    items = {one.item.item: one.key for one in drawn}
    sheet = files.folder.resolve().name
    return Key(sheet=sheet, seed=seed, stand_ins=dict(stand_ins or {}), items=items)


def of_runs(results: Iterable[Result], runs: Sequence[str]) -> list[Result]:
    """The results of the named forget sets; of all if none is named."""
    return _chosen("forget set", list(results), runs, lambda result: result.forget_set.run)


def of_models(rows: Iterable[StudyRow], models: Sequence[str]) -> list[StudyRow]:
    """The rows of the named models; all if none is named."""
    return _chosen("model", list(rows), models, lambda row: row.model)


def of_methods(rows: Iterable[StudyRow], methods: Sequence[str]) -> list[StudyRow]:
    """The rows of the named methods and references ('icu', 'before'); all if none is named."""
    return _chosen(
        "method", list(rows), methods, lambda row: row.name if row.role == "method" else row.role
    )


def _chosen(
    kind: str, found: list[T], asked: Sequence[str], name_of: Callable[[T], str]
) -> list[T]:
    known = dict.fromkeys(map(name_of, found))
    for name in asked:
        if name not in known:
            raise UserError(
                f"no result that can take part is of {kind} '{name}'; "
                f"take --{kind.replace('forget set', 'run')}s from: {', '.join(known)}"
            )
    return [one for one in found if not asked or name_of(one) in asked]
