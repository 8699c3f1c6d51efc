"""The tables of a benchmark: from a folder, a synthetic world or the hub, each read once."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from unlearnbench.data.benchmarks.definition import Benchmark
from unlearnbench.data.hub_datasets import dataset_rows
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import stamp_of
from unlearnbench.files.tables import SUFFIXES, read_table, table_suffix
from unlearnbench.nano import find_world

Row = Mapping[str, Any]


class Tables:
    """Rows by table name; where each came from is known as well."""

    def __init__(self, benchmark: Benchmark, data: str | None) -> None:
        self.benchmark, self.data = benchmark, data
        self._rows: dict[str, tuple[tuple[Row, ...], str]] = {}

    def rows(self, name: str) -> tuple[Row, ...]:
        """The rows of a table; raises `UserError` where it cannot be had."""
        return self._read(name)[0]

    def source(self, name: str) -> str:
        """Where its rows came from: a file's name, or hf:owner/name."""
        return self._read(name)[1]

    def has(self, name: str) -> bool:
        """Whether its rows can be had as far as the folder says; the hub is not asked."""
        table = self.benchmark.definition.tables[name]
        if self._folder is None:
            return table.hub is not None
        return self._file(name) is not None or (table.of is not None and self.has(table.of))

    def _read(self, name: str) -> tuple[tuple[Row, ...], str]:
        if name not in self._rows:
            self._rows[name] = self._find(name)
        return self._rows[name]

    def _find(self, name: str) -> tuple[tuple[Row, ...], str]:
        table = self.benchmark.definition.tables[name]
        if self._folder is not None and (path := self._file(name)) is not None:
            read = read_table(path, "docs/benchmarks.md", texts_as="text")
            return tuple(read[: table.first]), path.name
        if table.hub is not None and self._folder is None:
            return tuple(dataset_rows(table.hub, table.first)), table.hub
        if table.of is not None and table.rows is not None:
            rows, source = self._read(table.of)
            first, last = table.rows
            if last > len(rows):
                raise UserError(
                    f"table '{name}' of benchmark {self.benchmark.name} is rows {first} to {last} "
                    f"of '{table.of}', which has {len(rows)}; give the whole {source}"
                )
            return rows[first:last], source
        raise self._absent(name)

    @cached_property
    def _folder(self) -> Path | None:
        """Where files are looked for; None: the hub."""
        world = find_world(self.benchmark.definition.world)
        if self.data is None or self.data == "hub":
            return world.data() if world and self.data is None else None
        if other := find_world(self.data):
            return other.data()
        folder = Path(self.data).expanduser()
        if not folder.is_dir():
            raise UserError(
                f"no folder at {self.data}; --data takes a folder with the tables' files"
            )
        return folder

    def _file(self, name: str) -> Path | None:
        """The file that is called as the table, or as it may be called; the nearest one."""
        assert self._folder is not None
        for called in (name, *self.benchmark.definition.tables[name].file):
            own = [path for path in self._files if _is_called(path, called)]
            own.sort(key=lambda path: len(path.parts))
            if len(own) > 1 and len(own[0].parts) == len(own[1].parts):
                raise UserError(
                    f"two files for table '{name}': {own[0]} and {own[1]}; keep one of them"
                )
            if own:
                return own[0]
        return None

    @cached_property
    def _files(self) -> list[Path]:
        assert self._folder is not None
        return sorted(
            path for path in self._folder.rglob("*") if path.is_file() and table_suffix(path)
        )

    def _absent(self, name: str) -> UserError:
        table = self.benchmark.definition.tables[name]
        called = f"{table.file[0] if table.file else name}.jsonl"
        others = ", ".join(suffix for suffix in SUFFIXES if suffix != ".jsonl")
        place = f"into {self.data}" if self._folder else "into a folder: --data FOLDER"
        elsewhere = f", or leave --data out to take it from {table.hub}" if table.hub else ""
        return UserError(
            f"benchmark {self.benchmark.name} needs the table '{name}': put {called} (or {others}) "
            f"{place}{elsewhere}"
        )


def _is_called(path: Path, name: str) -> bool:
    """Whether a file has that name, folders above it included, whatever its suffix."""
    parts = name.split("/")
    stem = path.name.removesuffix(table_suffix(path))
    return [*path.parts[:-1], stem][-len(parts) :] == parts


def open_tables(benchmark: Benchmark, data: str | None) -> Tables:
    """The tables of a benchmark, opened once for as long as their files stay as they are."""
    return _opened(benchmark, data, stamp_of(data))


@lru_cache(maxsize=8)
def _opened(benchmark: Benchmark, data: str | None, stamp: Any) -> Tables:  # noqa: ARG001 - a key
    return Tables(benchmark, data)
