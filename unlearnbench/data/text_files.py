"""Forget sets of text: a file, a folder of files (one run each), or a hub data set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from unlearnbench.data.forget_source import (
    JOIN,
    ForgetRequest,
    ForgetSource,
    Parts,
    TokenMemory,
    assemble,
    choose_runs,
    parts_of,
    read_refusals,
)
from unlearnbench.data.hub_datasets import dataset_rows, parse_dataset
from unlearnbench.data.row_fields import doc_ids, text_field
from unlearnbench.data.templates import Template, encode_answers
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import text_sha256
from unlearnbench.files.tables import SUFFIXES, read_table, table_suffix
from unlearnbench.models.vocabulary import encode_continuations, encode_starts
from unlearnbench.nano import WORLDS, world_at

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

SUFFIX_LENGTH = 50  # of a full row: 50 of 100, or 50 of 200
_DATE = "10 Apr 2025"  # as TOFU's: some chat templates print today's, and tokens would differ daily
# The columns a row is made of, in order of preference.
_SHAPES = (("prefix", "suffix"), ("question", "answer"), ("text",))


@dataclass(frozen=True)
class TextRow:
    """One row of text: running text to be cut by tokens (no suffix), or two given parts."""

    doc_id: str
    prefix: str
    suffix: str | None
    where: str  # 'forget.jsonl, row 3': what an error names
    asked: tuple[str, str] | None = None  # question and answer, where it is made of them
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # all of it


@dataclass(frozen=True)
class TextRows:
    """Rows of a text file or a hub data set."""

    rows: tuple[TextRow, ...]
    template: Literal["auto", "chat", "plain"] = "auto"  # of questions
    memory: TokenMemory = field(default_factory=TokenMemory, repr=False, compare=False)

    has_fixed_length: ClassVar[bool] = False

    @property
    def doc_ids(self) -> tuple[str, ...]:
        """Each row's name: its doc_id, else its number."""
        return tuple(row.doc_id for row in self.rows)

    @property
    def has_questions(self) -> bool:
        """Whether they are questions and answers: every row is, or none."""
        return bool(self.rows) and self.rows[0].asked is not None

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: Sequence[int]) -> "TextRows":
        """The rows at those places, in that order."""
        return replace(self, rows=tuple(self.rows[i] for i in rows))

    def contents(self, protocol: "Protocol") -> list[tuple[str, str | None]]:  # noqa: ARG002
        """What tells each row from others: its text."""
        return [(row.prefix, row.suffix) for row in self.rows]

    def values_of(self, name: str) -> dict[str, str]:
        """The rows' values of a field, by doc_id; raises `UserError` naming a row without one."""
        for row in self.rows:
            if row.fields.get(name) is None:
                near = get_close_matches(name, list(map(str, row.fields)), n=1)
                hint = f" (it has '{near[0]}')" if near else ""
                raise UserError(
                    f"--pairing same:{name}: {row.where}: has no field '{name}'{hint}; take "
                    "another field, or --pairing random"
                )
        return {row.doc_id: str(row.fields[name]) for row in self.rows}

    def sha256(self, protocol: "Protocol") -> str:
        """Digest of the texts."""
        return text_sha256(repr(self.contents(protocol)))

    def encode(
        self, model: "LanguageModel", protocol: "Protocol", only_fitting: bool = False
    ) -> "Sequences":
        """[N, L] running text cut to T tokens and into given and suffix; two parts as they are.

        A question stands in the chat template of a model that has one; the answer is the suffix.
        Raises `UserError` naming file and row where there is too little to forget.
        """
        length = 200 if protocol.sequence == "all" else 100

        def tokenise(new: list[int]) -> list[Parts]:
            return self._tokenised(model, [self.rows[at] for at in new])

        tokenised = self.memory.parts(model, self.contents(protocol), tokenise)
        parts = [
            split_running_text(start[:length], length) if row.suffix is None else (start, suffix)
            for row, (start, suffix) in zip(self.rows, tokenised, strict=True)
        ]
        for row, (given, suffix) in zip(self.rows, parts, strict=True):
            _check_length(row, given, suffix)
        where = [row.where for row in self.rows]
        return assemble(model, parts, self.doc_ids, where, only_fitting)

    def _tokenised(self, model: "LanguageModel", rows: Sequence[TextRow]) -> list[Parts]:
        template = Template(self.template, date=_DATE, ends=False)
        asked = [row.asked for row in rows if row.asked is not None]
        if len(asked) == len(rows) and template.resolved(model) == "chat":
            return encode_answers(model, template, asked)
        starts = encode_starts(model.tokenizer, [row.prefix for row in rows])
        suffixes = encode_continuations(model.tokenizer, [row.suffix or "" for row in rows])
        return list(zip(starts, suffixes, strict=True))


def split_running_text(ids: list[int], length: int) -> tuple[list[int], list[int]]:
    """Given tokens and suffix of a text of at most `length` tokens.

    t0 = length - 50 (50 of 100, 150 of 200) if at least ten tokens follow, else half.
    """
    t0 = length - SUFFIX_LENGTH
    if len(ids) < t0 + 10:
        t0 = len(ids) // 2
    return ids[:t0], ids[t0:]


def _check_length(row: TextRow, given: list[int], suffix: list[int]) -> None:
    if not given:
        raise UserError(f"{row.where}: nothing is given before the suffix; make the text longer")
    # An answer may be one token (a year); half of a running text should be more than that.
    needed = 2 if row.suffix is None else 1
    if len(suffix) < needed:
        raise UserError(
            f"{row.where}: too short: {len(suffix)} tokens to forget, needs {needed} or more; "
            "lengthen or remove the row"
        )


@dataclass(frozen=True)
class TextTable:
    """One table of rows, read when it is first asked for."""

    location: str  # a path, or hf:...
    template: Literal["auto", "chat", "plain"] = "auto"  # of its questions

    @property
    def name(self) -> str:
        """The file's name, or the data set's."""
        return self.location if self.location.startswith("hf:") else Path(self.location).name

    @cached_property
    def rows(self) -> TextRows:
        """Every row; raises `UserError` where the table cannot be read."""
        if self.location.startswith("hf:"):
            table = dataset_rows(self.location)
        else:
            table = read_table(Path(self.location).expanduser())
        return replace(text_rows(table, self.name), template=self.template)

    @cached_property
    def sha256(self) -> str:
        """Digest of the rows' doc ids and texts, and of the template where one is chosen."""
        return text_sha256(
            *(
                t
                for r in self.rows.rows
                for t in (r.doc_id, r.prefix, str(r.suffix is None), r.suffix or "")
            ),
            *(() if self.template == "auto" else (self.template,)),
        )


@dataclass(frozen=True)
class TextSource(ForgetSource):
    """Forget sets of text."""

    name: str
    tables: dict[str, TextTable]
    runs: tuple[str, ...]
    pool_table: TextTable | None = None
    unseen_table: TextTable | None = None
    refusals: tuple[str, ...] = ()
    stock_refusals: tuple[str, ...] = ()
    pairing: str = "nearest"
    is_synthetic: bool = False

    def sha256(self, run: str) -> str:
        """Digest of the run's texts, its pool, the unseen texts and the refusals."""
        tables = (*self._tables_of(run), self.pool_table, self.unseen_table)
        return text_sha256(*(t.sha256 if t else "" for t in tables), *self.refusals)

    def asks_questions(self, run: str) -> bool:
        """Whether a chat template can change a run's tokens."""
        return any(table.rows.has_questions for table in self._tables_of(run))

    def title(self, run: str) -> str:
        """Source and file of a run; a single file has just its name."""
        own = JOIN.join(_stem(Path(table.name)) for table in self._tables_of(run))
        return own if own == self.name else f"{self.name}/{own}"

    def targets(self, run: str, limit: int | None = None) -> TextRows:
        """The run's first rows; raises `UserError` for a template where they hold no question."""
        tables = self._tables_of(run)
        for table in tables:
            if table.template != "auto" and not table.rows.has_questions:
                raise UserError(
                    f"--template {table.template} is for fields question and answer, and "
                    f"{table.name} has none; leave it out"
                )
        first, *others = (table.rows.select(range(len(table.rows))[:limit]) for table in tables)
        return _joined(first, others)

    def pool(self, run: str, limit: int | None = None) -> TextRows | None:
        """The rows of the pool file, else what `limit` leaves of the run's own."""
        targets = self.targets(run, limit)
        if self.pool_table is not None:
            return _renamed(self.pool_table.rows, targets)
        if limit is None:
            return None
        first, *others = (
            table.rows.select(range(limit, len(table.rows))) for table in self._tables_of(run)
        )
        rest = _joined(first, others)
        return _renamed(rest, targets) if len(rest) else None

    def _tables_of(self, run: str) -> tuple[TextTable, ...]:
        return tuple(self.tables[part] for part in parts_of(run, self.tables))

    @property
    def unseen(self) -> TextRows | None:
        """The rows of the unseen file, if one was given."""
        return self.unseen_table.rows if self.unseen_table else None


def open_texts(request: ForgetRequest) -> TextSource:
    """The text source a request means; raises `UserError` if it is no file, folder or data set."""
    tables = _tables(request)
    location = request.forget_set
    if request.rows is not None:
        raise UserError(
            f"--rows {request.rows} is for CSVs of doc_ids, and {location} holds texts: drop it"
        )
    place = None if location.startswith("hf:") else Path(location).expanduser()
    name = location if place is None else _stem(place.resolve())
    beside = None if place is None else place if place.is_dir() else place.parent
    refusals = read_refusals(request.refusals, beside)
    world = None if place is None else world_at(place)
    return TextSource(
        name,
        tables,
        choose_runs(request.runs, tuple(tables), name),
        TextTable(request.pool, request.template) if request.pool else None,
        TextTable(request.unseen, request.template) if request.unseen else None,
        refusals,
        world.refusals() if world else (),
        request.pairing,
        is_synthetic=world is not None,
    )


def _tables(request: ForgetRequest) -> dict[str, TextTable]:
    location, template = request.forget_set, request.template
    if location.startswith("hf:"):
        parse_dataset(location)  # a misspelt name is told before anything else is done
        return {"0": TextTable(location, template)}
    place = Path(location).expanduser()
    if place.is_file() and table_suffix(place):
        return {"0": TextTable(location, template)}
    # A .json file in a folder may say something of the set, as dataset_info.json does.
    paths = sorted(place.glob("*")) if place.is_dir() else []
    files = [path for path in paths if table_suffix(path) not in ("", ".json", ".json.gz")]
    tables = {_stem(path): TextTable(str(path), template) for path in files}
    if len(tables) < len(files):
        used = {table.location for table in tables.values()}
        twice = next(path for path in files if str(path) not in used)
        raise UserError(f"{place} holds two files called '{_stem(twice)}'; rename one")
    if tables:
        return tables
    if place.suffix == ".txt" and place.is_file():
        raise UserError(
            f'{place} is no table of rows; write {{"text": "..."}} on each line, and call it '
            f"{place.stem}.jsonl"
        )
    worlds = " or ".join(map(repr, WORLDS))
    raise UserError(
        f"no forget set at '{location}': needs a folder with train_*.npy and doc_id CSVs, a "
        f"{', '.join(SUFFIXES)} file or folder, hf:owner/name, or {worlds}; see docs/forget_sets.md"
    )


def _stem(path: Path) -> str:
    """A file's name without what says its format; a folder's name."""
    return path.name.removesuffix(table_suffix(path)) if table_suffix(path) else path.stem


def _joined(first: TextRows, others: Sequence[TextRows]) -> TextRows:
    """The rows of all, each text once; a name that an earlier row has gets its table's number."""
    if not others:
        return first
    rows = {(row.prefix, row.suffix): row for row in first.rows}
    names = {row.doc_id for row in first.rows}
    for number, other in enumerate(others, 2):
        for row in other.rows:
            own = row if row.doc_id not in names else replace(row, doc_id=f"{number}:{row.doc_id}")
            if rows.setdefault((row.prefix, row.suffix), own) is own:
                names.add(own.doc_id)
    return replace(first, rows=tuple(rows.values()))


def _renamed(pool: TextRows, targets: TextRows) -> TextRows:
    """The pool with doc_ids that no target has: both files may count from 0."""
    taken = {row.doc_id for row in targets.rows}
    if not any(row.doc_id in taken for row in pool.rows):
        return pool
    renamed = tuple(replace(row, doc_id=f"pool:{row.doc_id}") for row in pool.rows)
    return replace(pool, rows=renamed)


def text_rows(table: Iterable[Mapping[str, Any]], name: str) -> TextRows:
    """Rows of `text`, `prefix` + `suffix` or `question` + `answer`, with an optional `doc_id`.

    A question is written as `Question: ...`, then `Answer:` on the next line, as the prefix; the
    answer, after a space, is the suffix.  A chat model is asked by its own template.  Every row
    has a `doc_id` or none has; it is then the row number.
    Raises `UserError` naming the row and the field that is missing, empty or no text.
    """
    rows = list(table)
    shape = _shape(rows[0], name) if rows else ()
    names = doc_ids(rows, name)
    return TextRows(
        tuple(
            _text_row(row, shape, doc_id, f"{name}, row {at}")
            for at, (row, doc_id) in enumerate(zip(rows, names, strict=True))
        )
    )


def _shape(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    for shape in _SHAPES:
        if all(column in row for column in shape):
            return shape
    # A row with half of a shape is told what the other half is called.
    for shape in _SHAPES[:2]:
        if half := [column for column in shape if column in row]:
            other = next(column for column in shape if column not in half)
            raise UserError(f"{name}, row 0: has '{half[0]}' but no '{other}'; add that field")
    raise UserError(
        f"{name}, row 0: has {_listed(row)}; needs text, "
        f"prefix and suffix, or question and answer{_nearest(row)}: see docs/forget_sets.md"
    )


def _listed(row: Mapping[str, Any]) -> str:
    listed = ", ".join(" ".join(str(field).split()) or repr(field) for field in row)
    return f"{listed:.100}" or "no fields"


def _nearest(row: Mapping[str, Any]) -> str:
    for column in (column for shape in _SHAPES for column in shape):
        written = {str(field).strip().casefold(): str(field) for field in row}
        if near := get_close_matches(column, list(written), n=1, cutoff=0.8):
            return f" (rename {written[near[0]]!r:.40} to '{column}'?)"
    return ""


def _text_row(row: Mapping[str, Any], shape: tuple[str, ...], doc_id: str, where: str) -> TextRow:
    first, *second = (text_field(row, column, where) for column in shape)
    asked = None
    if shape == ("question", "answer"):
        asked = (first, second[0].strip())
        first, second = f"Question: {first}\nAnswer:", [f" {asked[1]}"]
    return TextRow(doc_id, first, second[0] if second else None, where, asked, row)
