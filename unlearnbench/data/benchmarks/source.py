"""A benchmark as a source of forget sets, and the splits that tasks measure beside them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnbench.data.benchmarks.definition import (
    Benchmark,
    Fields,
    ForgetPart,
    SplitPart,
    TemplatePart,
    find_benchmark,
    table_of,
)
from unlearnbench.data.benchmarks.tables import Row, Tables, open_tables
from unlearnbench.data.forget_source import (
    ForgetRequest,
    ForgetSource,
    Parts,
    TokenMemory,
    assemble,
    choose_runs,
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
        return text_sha256(
            repr(self.contents(protocol)), repr(self.template), str(self.chunk_tokens)
        )

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
        rows = [
            row
            for item, (given, answer) in zip(self.items, parts, strict=True)
            for row in self._rows(item, given, answer)
        ]
        return assemble(
            model,
            [part for _, part, _ in rows],
            tuple(name for name, _, _ in rows),
            [where for _, _, where in rows],
            only_fitting,
        )

    def _rows(
        self, item: Item, given: list[int], answer: list[int]
    ) -> list[tuple[str, Parts, str]]:
        if given:
            return [(item.doc_id, (given, answer), item.where)]
        step = self.chunk_tokens or len(answer)
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
        tables = [self._items_of(name) for name in (part.forget, part.retain, part.holdout) if name]
        how = (repr(self.template), str(self.benchmark.definition.chunk_tokens), *self.refusals)
        return text_sha256(*map(repr, tables), *how)

    def title(self, run: str) -> str:
        """'tofu/forget10'."""
        return f"{self.name}/{run}"

    def targets(self, run: str, limit: int | None = None) -> ItemRows:
        """The items to forget."""
        rows = self._rows(self._part(run).forget)
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
        every = (
            self._split(name, part, self._part(run))
            for name, part in self.benchmark.definition.splits.items()
        )
        return tuple(split.first(limit) if split.is_to_forget else split for split in every)

    def check_roles(self, run: str) -> None:
        """Raise `UserError` for rows that two roles of a forget split have in common."""
        part = self._part(run)
        forget = self._contents(part.forget)
        for role, name in (("retain", part.retain), ("holdout", part.holdout)):
            if name is None:
                continue
            other = self._contents(name)
            both = forget.keys() & other.keys()
            if not both:
                continue
            if role == "holdout" and other.keys() == forget.keys():
                raise UserError(
                    f"{self.title(run)}: the holdout '{name}' is the forget set itself, so no "
                    f"membership score could tell them apart; give rows that no model saw"
                )
            content = min(both, key=lambda one: forget[one])
            raise UserError(
                f"{self.title(run)}: row {forget[content]} of '{part.forget}' (forget) is row "
                f"{other[content]} of '{name}' ({role}); a row has one role: take it out of one"
            )

    def _contents(self, table: str) -> dict[tuple[str, str], int]:
        items = self._items_of(table)
        return {(item.question, item.answer): at for at, item in reversed(list(enumerate(items)))}

    def _part(self, run: str) -> ForgetPart:
        return self.benchmark.definition.forget[run]

    def _rows(self, table: str) -> ItemRows:
        return _rows_of(self, table)

    def _items_of(self, table: str) -> tuple[Item, ...]:
        return items_of(self.tables, table, self.benchmark.definition.fields, needs=())

    def _split(self, name: str, part: SplitPart, forget: ForgetPart) -> Split:
        table = table_of(part.table, forget)
        fields = self.benchmark.definition.fields.model_copy(update=part.fields)
        items = items_of(self.tables, table, fields, part.measures, part.where)
        examples: tuple[tuple[str, str], ...] = ()
        if part.examples is not None:
            shown = items_of(self.tables, table_of(part.examples, forget), fields, ())
            examples = tuple((item.question, item.answer) for item in shown)
        return Split(
            name=name,
            role=part.role,
            items=items[: part.first],
            template=replace(_filled(self.template, part.template), examples=examples),
            measures=frozenset(part.measures),
            new_tokens=part.new_tokens,
            stop=part.stop,
            source=self.tables.source(table),
        )


@lru_cache(maxsize=32)
def _rows_of(source: BenchmarkSource, table: str) -> ItemRows:
    """One object per table, so that its memory of token ids serves whoever asks."""
    return ItemRows(
        source._items_of(table),
        source.template,
        source.benchmark.definition.chunk_tokens,
        source.tables.rows(table),
    )


def open_benchmark(request: ForgetRequest) -> BenchmarkSource:
    """The source that a benchmark's name means; raises `UserError` for what cannot be had."""
    assert request.benchmark is not None
    benchmark = find_benchmark(request.benchmark)
    definition = benchmark.definition
    asked = request.runs or definition.default
    runs = choose_runs(asked, tuple(definition.forget), f"benchmark {benchmark.name}")
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


def items_of(
    tables: Tables,
    table: str,
    fields: Fields,
    needs: Sequence[str],
    where: Mapping[str, str | list[str]] | None = None,
) -> tuple[Item, ...]:
    """The items of a table's rows; raises `UserError` naming a row without what is needed."""
    items = []
    source = tables.source(table)
    for at, row in enumerate(tables.rows(table)):
        if any(str(row.get(name)) not in _listed(wanted) for name, wanted in (where or {}).items()):
            continue
        items.append(_item(row, at, f"{source}, row {at}", fields, needs))
    if not items:
        raise UserError(f"{source}: no row has {dict(where or {})}; see the benchmark's file")
    return tuple(items)


def _item(row: Row, at: int, where: str, fields: Fields, needs: Sequence[str]) -> Item:
    question = _text(row, fields.question, where) if fields.question else ""
    answer, wrong = _answers(row, fields, where)
    paraphrases = _texts(row.get(fields.paraphrases)) if fields.paraphrases else ()
    for measure, found, name in (
        ("paraphrase", paraphrases, fields.paraphrases),
        ("wrong", wrong, fields.wrong),
        ("probability_normalised", wrong, fields.wrong),
    ):
        if measure in needs and not found:
            raise UserError(
                f"{where}: field '{name}' is missing or empty, and '{measure}' is measured with "
                "it; fill it, or remove the row from every table"
            )
    return Item(str(at), question, answer, paraphrases, wrong, where)


def _answers(row: Row, fields: Fields, where: str) -> tuple[str, tuple[str, ...]]:
    """The right answer and the wrong ones; the right one may be the number of a choice."""
    right, wrong = row.get(fields.answer), _texts(row.get(fields.wrong)) if fields.wrong else ()
    if isinstance(right, int) and not isinstance(right, bool) and wrong:
        if not 0 <= right < len(wrong):
            raise UserError(
                f"{where}: field '{fields.answer}' is {right}, and there are {len(wrong)} choices"
            )
        return wrong[right], tuple(w for i, w in enumerate(wrong) if i != right)
    return _text(row, fields.answer, where), wrong


def _text(row: Row, name: str, where: str) -> str:
    value = row.get(name)
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = value[0]  # of several answers that are right, the first
    if value is None:
        raise UserError(f"{where}: field '{name}' is missing; every row needs it")
    if not isinstance(value, str):
        raise UserError(f"{where}: field '{name}' is {type(value).__name__}, not text")
    if not value.strip():
        raise UserError(f"{where}: field '{name}' is empty; fill it or remove the row")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    """One text or several; none for what is neither."""
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    if not isinstance(value, list | tuple):
        return ()
    return tuple(text for text in value if isinstance(text, str) and text.strip())


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
