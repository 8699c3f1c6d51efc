"""A benchmark as a source of forget sets, and the splits that tasks measure beside them."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.data.benchmarks.definition import (
    Benchmark,
    ForgetPart,
    SplitPart,
    TemplatePart,
    check_splits,
    find_benchmark,
    rows_wanted,
    table_of,
)
from unlearnbench.data.benchmarks.rows import Conditions, items_of
from unlearnbench.data.benchmarks.tables import Row, Tables, open_tables
from unlearnbench.data.forget_source import (
    ForgetRequest,
    ForgetSource,
    Parts,
    TokenMemory,
    assemble,
    read_refusals,
)
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template, encode_answers
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import text_sha256
from unlearnbench.nano import find_world

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

GIVEN_BEFORE_TEXT_END = 50  # tokens: what of a text is its suffix, as in running text


@dataclass(frozen=True)
class ItemRows:
    """Items that a model is trained on, as rows of tokens."""

    items: tuple[Item, ...]
    template: Template
    chunk_tokens: int | None = None
    max_tokens: int | None = None
    fields: tuple[Row, ...] = field(default=(), repr=False, compare=False)  # of the table
    memory: TokenMemory = field(default_factory=TokenMemory, repr=False, compare=False)

    has_fixed_length: ClassVar[bool] = False

    @property
    def doc_ids(self) -> tuple[str, ...]:
        """The items' names."""
        return tuple(item.doc_id for item in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def select(self, rows: Sequence[int]) -> "ItemRows":
        """The items at those places, in that order."""
        return replace(
            self,
            items=tuple(self.items[i] for i in rows),
            fields=tuple(self.fields[i] for i in rows),
        )

    def contents(self, protocol: "Protocol") -> list[tuple[str, str]]:  # noqa: ARG002
        """What tells each item from others."""
        return [(item.question, item.answer) for item in self.items]

    def values_of(self, name: str) -> dict[str, str]:
        """The rows' values of a field, by doc_id; raises `UserError` naming a row without one."""
        for item, row in zip(self.items, self.fields, strict=True):
            if row.get(name) is None:
                raise UserError(
                    f"--pairing same:{name}: {item.where}: has no field '{name}'; take another "
                    "field, or --pairing random"
                )
        pairs = zip(self.items, self.fields, strict=True)
        return {item.doc_id: str(row[name]) for item, row in pairs}

    def sha256(self, protocol: "Protocol") -> str:
        """Digest of the texts and of how they become tokens."""
        cut = f"{self.chunk_tokens} {self.max_tokens}"
        return text_sha256(repr(self.contents(protocol)), repr(self.template), cut)

    def encode(
        self,
        model: "LanguageModel",
        protocol: "Protocol",  # noqa: ARG002 - a benchmark says itself how its items are cut
        only_fitting: bool = False,
    ) -> "Sequences":
        """[N, L] prompt and answer of each item; a text is cut into chunks, each a row.

        Raises `UserError` naming file and row of an item that is longer than the context.
        """

        def tokenise(new: list[int]) -> list[Parts]:
            pairs = [(self.items[at].question, self.items[at].answer) for at in new]
            return encode_answers(model, self.template, pairs)

        # The template's kind hangs on the model, which the memory is of.
        names = [(item.question, item.answer) for item in self.items]
        parts = self.memory.parts(model, names, tokenise)
        n_start = int(model.bos_token_id_to_prepend is not None)
        rows = [
            row
            for item, (given, answer) in zip(self.items, parts, strict=True)
            for row in self._rows(item, given, answer, n_start)
        ]
        return assemble(
            model,
            [part for _, part, _ in rows],
            tuple(name for name, _, _ in rows),
            [where for _, _, where in rows],
            only_fitting,
        )

    def _rows(
        self, item: Item, given: list[int], answer: list[int], n_start: int
    ) -> list[tuple[str, Parts, str]]:
        if given:
            return [(item.doc_id, (given, answer), item.where)]
        answer = answer[: self.max_tokens and self.max_tokens - n_start]
        step = self.chunk_tokens - n_start if self.chunk_tokens else len(answer)
        chunks = [answer[at : at + step] for at in range(0, len(answer), step)]
        kept = [chunk for chunk in chunks if len(chunk) > 1]  # one token is predicted by nothing
        if len(kept) == 1:
            return [(item.doc_id, _cut(kept[0]), item.where)]
        return [
            (f"{item.doc_id}:{at}", _cut(chunk), f"{item.where}, chunk {at}")
            for at, chunk in enumerate(kept)
        ]


def _cut(text: list[int]) -> Parts:
    """Given tokens and suffix of a text: its last 50, or of a short one its second half."""
    at = len(text) - GIVEN_BEFORE_TEXT_END
    at = at if at >= len(text) // 2 else len(text) // 2
    return text[:at], text[at:]


@dataclass(frozen=True)
class BenchmarkSource(ForgetSource):
    """The forget splits of a benchmark, each a run."""

    benchmark: Benchmark
    tables: Tables
    runs: tuple[str, ...]
    template: Template
    refusals: tuple[str, ...] = ()
    pairing: str = "random"

    @property
    def name(self) -> str:  # type: ignore[override]
        """The benchmark's."""
        return self.benchmark.name

    @property
    def is_synthetic(self) -> bool:  # type: ignore[override]
        """Whether its rows are of a world that comes with the package."""
        return self.benchmark.definition.world is not None and self.tables.data is None

    @cached_property
    def stock_refusals(self) -> tuple[str, ...]:  # type: ignore[override]
        """The refusals of its world, if it has one."""
        world = find_world(self.benchmark.definition.world)
        return world.refusals() if world else ()

    def sha256(self, run: str) -> str:
        """Digest of what is forgotten, kept and held out, and of how it becomes tokens."""
        part = self._part(run)
        tables = [self._forgotten(part).items]
        tables += [self._rows(name).items for name in (part.retain, part.holdout) if name]
        definition = self.benchmark.definition
        cut = f"{definition.chunk_tokens} {definition.max_tokens}"
        return text_sha256(*map(repr, tables), repr(self.template), cut, *self.refusals)

    def title(self, run: str) -> str:
        """'tofu/forget10'."""
        return f"{self.name}/{run}"

    def targets(self, run: str, limit: int | None = None) -> ItemRows:
        """The items to forget."""
        rows = self._forgotten(self._part(run))
        return rows.select(range(len(rows))[:limit])

    def pool(self, run: str, limit: int | None = None) -> ItemRows | None:  # noqa: ARG002
        """The items to keep."""
        name = self._part(run).retain
        if name is None:
            return None
        rows = self._rows(name)
        taken = set(self.targets(run).doc_ids)
        if taken.isdisjoint(rows.doc_ids):
            return rows
        return replace(
            rows,
            items=tuple(replace(item, doc_id=f"retain:{item.doc_id}") for item in rows.items),
        )

    @property
    def unseen(self) -> ItemRows | None:
        """The holdout's items, of the first run that has some."""
        names = [self._part(run).holdout for run in self.runs]
        name = next(filter(None, names), None)
        return self._rows(name) if name else None

    def splits(self, run: str, limit: int | None = None) -> tuple[Split, ...]:
        """What tasks measure beside that forget split, each split in the definition's order.

        `limit` takes the first items of those to forget.  Raises `UserError` for rows that lack
        what is measured of them.
        """
        return _splits_of(self, run, limit)

    def left_out(self, run: str) -> list[str]:
        """What is not measured beside a forget split, for want of its table."""
        forget, splits = self._part(run), self.benchmark.definition.splits
        return [
            f"split '{name}' of benchmark {self.name} is left out: {self.tables.data} has no file "
            f"of its table '{table_of(part.table, forget)}'"
            for name, part in splits.items()
            if not self._is_there(part, forget)
        ]

    def _is_there(self, part: SplitPart, forget: ForgetPart) -> bool:
        return not part.optional or self.tables.has(table_of(part.table, forget))

    def check_roles(self, run: str) -> None:
        """Raise `UserError` for rows to forget, or held out, that have another role, too."""
        part = self._part(run)
        forget = _contents(self._forgotten(part).items)
        trained_on = [("forget", part.forget, forget)]
        for role, name, items in self._others(run, part):
            other = _contents(items)
            if role == "holdout" and other.keys() == forget.keys():
                raise UserError(
                    f"{self.title(run)}: the holdout '{name}' is the forget set itself, so no "
                    "membership score could tell them apart; give rows that no model saw"
                )
            for of_first, first, rows in trained_on if role == "holdout" else trained_on[:1]:
                if both := rows.keys() & other.keys():
                    content = min(both, key=lambda one: int(rows[one]))
                    raise UserError(
                        f"{self.title(run)}: row {rows[content]} of '{first}' ({of_first}) is row "
                        f"{other[content]} of '{name}' ({role}); a row has one role: take it out "
                        "of one"
                    )
            if role == "retain" and name == part.retain:
                trained_on.append((role, name, other))

    def _others(self, run: str, part: ForgetPart) -> Iterator[tuple[str, str, tuple[Item, ...]]]:
        """Role, name and items of what is kept, held out, or measured without being forgotten."""
        for role, table in (("retain", part.retain), ("holdout", part.holdout)):
            if table is not None:
                yield role, table, self._rows(table).items
        for split in self.splits(run):
            if not split.is_to_forget:
                yield split.role, split.name, split.items

    def _part(self, run: str) -> ForgetPart:
        return self.benchmark.definition.forget[run]

    def _forgotten(self, part: ForgetPart) -> ItemRows:
        return self._rows(part.forget, part.where)

    def _rows(self, table: str, where: Conditions | None = None) -> ItemRows:
        return _rows_of(self, table, _hashable(where or {}))

    def _split(self, name: str, part: SplitPart, forget: ForgetPart) -> Split:
        table = table_of(part.table, forget)
        fields = self.benchmark.definition.fields.model_copy(update=part.fields)
        where = rows_wanted(part.where, forget)
        asked_as = part.lm_eval and part.lm_eval.replace("{forget}", forget.forget)
        items = items_of(self.tables, table, fields, part.measures, where, asked_as)
        examples: tuple[tuple[str, str], ...] = ()
        if part.examples is not None:
            rows = items_of(self.tables, table_of(part.examples, forget), fields)
            examples = tuple((item.question, item.answer) for item in rows)
        return Split(
            name=name,
            role=part.role,
            items=items[: part.first],
            template=replace(_filled(self.template, part.template), examples=examples),
            measures=frozenset(part.measures),
            new_tokens=part.new_tokens,
            cut=part.cut,
            stop=part.stop,
            source=self.tables.source(table),
        )


def _contents(items: Sequence[Item]) -> dict[tuple[str, str], str]:
    """An item's row in its table by what it says; of several that say it the first's."""
    return {(item.question, item.answer): item.doc_id for item in reversed(items)}


_Hashable = tuple[tuple[str, tuple[str, ...]], ...]


def _hashable(where: Conditions) -> _Hashable:
    return tuple((f, (v,) if isinstance(v, str) else tuple(v)) for f, v in where.items())


@lru_cache(maxsize=32)
def _splits_of(source: BenchmarkSource, run: str, limit: int | None) -> tuple[Split, ...]:
    """Made once: each cell's key, plan and record ask for them and for their digests."""
    forget = source._part(run)
    every = (
        source._split(name, part, forget)
        for name, part in source.benchmark.definition.splits.items()
        if source._is_there(part, forget)
    )
    return tuple(split.first(limit) if split.is_to_forget else split for split in every)


@lru_cache(maxsize=32)
def _rows_of(source: BenchmarkSource, table: str, where: _Hashable) -> ItemRows:
    """One object per table, so that its memory of token ids serves whoever asks."""
    definition = source.benchmark.definition
    wanted = {field: list(values) for field, values in where}
    items = items_of(source.tables, table, definition.fields, where=wanted)
    rows = source.tables.rows(table)
    return ItemRows(
        items,
        source.template,
        definition.chunk_tokens,
        definition.max_tokens,
        tuple(rows[int(item.doc_id)] for item in items),
    )


def open_benchmark(request: ForgetRequest) -> BenchmarkSource:
    """The source that a benchmark's name means; raises `UserError` for what cannot be had."""
    assert request.benchmark is not None
    benchmark = find_benchmark(request.benchmark)
    definition = benchmark.definition
    runs = request.runs or definition.default or tuple(definition.forget)
    check_splits(benchmark, runs)
    template = _filled(Template(), definition.template)
    if request.template != "auto":
        template = replace(template, kind=request.template)
    return BenchmarkSource(
        benchmark=benchmark,
        tables=open_tables(benchmark, request.data),
        runs=runs,
        template=template,
        refusals=read_refusals(request.refusals, None),
        pairing=request.pairing,
    )


def _filled(template: Template, part: TemplatePart) -> Template:
    """The template with what a part of a definition says."""
    said = {name: value for name, value in part.model_dump().items() if value is not None}
    return dataclasses.replace(template, **said)
