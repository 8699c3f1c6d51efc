"""Forget sets of text: a file, a folder of files (one run each), or a hub data set."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from unlearnbench.data.forget_source import (
    ForgetRequest,
    ForgetSource,
    RowsOfRun,
    choose_runs,
    read_refusals,
)
from unlearnbench.data.hub_datasets import dataset_rows, parse_dataset
from unlearnbench.data.rows import TextRows
from unlearnbench.data.text_rows import text_rows
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import text_sha256
from unlearnbench.files.tables import SUFFIXES, read_table
from unlearnbench.nano import WORLDS


@dataclass(frozen=True)
class TextTable:
    """One table of rows, read when it is first asked for."""

    location: str  # a path, or hf:...

    @property
    def name(self) -> str:
        """The file's name, or the data set's."""
        return self.location if self.location.startswith("hf:") else Path(self.location).name

    @cached_property
    def rows(self) -> TextRows:
        """Every row; raises `UserError` where the table cannot be read."""
        if self.location.startswith("hf:"):
            return text_rows(dataset_rows(self.location), self.name)
        return text_rows(read_table(Path(self.location).expanduser()), self.name)

    @cached_property
    def sha256(self) -> str:
        """Digest of the rows' doc ids and texts."""
        rows = self.rows.rows
        return text_sha256(
            *(t for r in rows for t in (r.doc_id, r.prefix, str(r.suffix is None), r.suffix or ""))
        )


@dataclass(frozen=True)
class TextSource(ForgetSource):
    """Forget sets of text."""

    name: str
    tables: dict[str, TextTable]
    runs: tuple[str, ...]
    pool: TextTable | None = None
    unseen_table: TextTable | None = None
    refusals: tuple[str, ...] = ()

    def sha256(self, run: str) -> str:
        """Digest of the run's texts, its pool, the unseen texts and the refusals."""
        tables = (self.tables[run], self.pool, self.unseen_table)
        return text_sha256(*(t.sha256 if t else "" for t in tables), *self.refusals)

    def title(self, run: str) -> str:
        """Source and file of a run; a single file has just its name."""
        own = Path(self.tables[run].name).stem
        return own if own == self.name else f"{self.name}/{own}"

    def read(self, run: str, limit: int | None = None) -> RowsOfRun:
        """The run's rows; the pool is the pool file, else what `limit` leaves of the run's own."""
        rows = self.tables[run].rows
        targets = rows.select(range(len(rows))[:limit])
        if self.pool is not None:
            return RowsOfRun(targets, _renamed(self.pool.rows, targets))
        rest = rows.select(range(len(targets), len(rows)))
        return RowsOfRun(targets, rest if len(rest) else None)

    def unseen(self) -> TextRows | None:
        """The rows of the unseen file, if one was given."""
        return self.unseen_table.rows if self.unseen_table else None


def open_texts(request: ForgetRequest) -> TextSource:
    """The text source a request means; raises `UserError` if it is no file, folder or data set."""
    tables = _tables(request.forget_set)
    location = request.forget_set
    if request.rows is not None:
        raise UserError(
            f"--rows {request.rows} is for CSVs of doc_ids, and {location} holds texts: drop it"
        )
    on_hub = location.startswith("hf:")
    place = None if on_hub else Path(location).expanduser()
    name = location if place is None else place.resolve().stem
    beside = None if place is None else place if place.is_dir() else place.parent
    refusals = read_refusals(request.refusals, beside)
    return TextSource(
        name,
        tables,
        choose_runs(request.runs, tuple(tables), name),
        TextTable(request.pool) if request.pool else None,
        TextTable(request.unseen) if request.unseen else None,
        refusals,
    )


def _tables(location: str) -> dict[str, TextTable]:
    if location.startswith("hf:"):
        parse_dataset(location)  # a misspelt name is told before anything else is done
        return {"0": TextTable(location)}
    place = Path(location).expanduser()
    if place.is_file() and place.suffix in SUFFIXES:
        return {"0": TextTable(location)}
    files = [p for p in sorted(place.glob("*")) if p.suffix in SUFFIXES] if place.is_dir() else []
    if files:
        return _one_per_file(files)
    if place.suffix in (".json", ".txt") and place.is_file():
        raise UserError(
            f"{place} is no table of rows; write one object per line, "
            f'{{"text": "..."}}, and call it {place.stem}.jsonl'
        )
    worlds = " or ".join(map(repr, WORLDS))
    raise UserError(
        f"no forget set at '{location}': needs a folder with train_*.npy and doc_id CSVs, a "
        f"{', '.join(SUFFIXES)} file or folder, hf:owner/name, or {worlds}; see docs/forget_sets.md"
    )


def _one_per_file(files: list[Path]) -> dict[str, TextTable]:
    names = [path.stem for path in files]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"{files[0].parent} holds two files called '{twice.pop()}'; rename one")
    return {path.stem: TextTable(str(path)) for path in files}


def _renamed(pool: TextRows, targets: TextRows) -> TextRows:
    """The pool with doc_ids that no target has: both files may count from 0."""
    taken = {row.doc_id for row in targets.rows}
    if not any(row.doc_id in taken for row in pool.rows):
        return pool
    return TextRows(tuple(replace(row, doc_id=f"pool:{row.doc_id}") for row in pool.rows))
