"""Drawing a blind sheet: the same documents for every method, in an order that tells nothing."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from unlearnbench.analysis.build_table import groups_of
from unlearnbench.errors import UserError
from unlearnbench.ratings.human.ratings import ratings_in
from unlearnbench.ratings.human.scale import instructions
from unlearnbench.ratings.human.sheet import (
    SHEET_NAME,
    Item,
    Key,
    KeyItem,
    sheet_text,
    write_study_file,
)
from unlearnbench.ratings.judge import questions
from unlearnbench.results.record import Result, Role

# No vowels and no digits: a spreadsheet takes such an id for no word, number or date.
_LETTERS = "bcdfghjkmnpqrstvwxz"
_ID_LENGTH = 10


class Document(NamedTuple):
    """One sequence of one forget set; `doc_id` alone is unique only within a source."""

    source: str
    run: str
    doc_id: str


@dataclass(frozen=True)
class StudyRow:
    """A model and a method, and its results (forget sets and seeds) that hold continuations."""

    model: str
    method: str  # both as in the table's
    name: str  # registered name; 'none' for a reference row
    role: Role
    position: int  # among all rows
    results: tuple[Result, ...]

    def documents(self) -> dict[Document, list[tuple[Result, questions.Item]]]:
        """What was written on each document, and by which result, once per seed."""
        writings = defaultdict(list)
        for result in self.results:
            for doc_id, texts in questions.items_of(result).items():
                document = Document(result.forget_set.name, result.forget_set.run, doc_id)
                writings[document].append((result, texts))
        return dict(writings)


def usable(results: Iterable[Result]) -> tuple[list[Result], list[str]]:
    """The results that can take part, and of each of the others its file and why it cannot."""
    chosen, left_out = [], []
    for result in results:
        reason = questions.why_not(result)
        if result.trace is not None and result.trace.outcome == "collapsed":
            reason = "the model collapsed"
        if reason is None:
            chosen.append(result)
        else:
            left_out.append(f"{result.key}.json ({result.group}: {result.label}): {reason}")
    return chosen, left_out


def study_rows(results: Sequence[Result]) -> list[StudyRow]:
    """The rows of usable results, named and ordered as in the table.

    Of a cell that was measured twice (with other tasks, say) the later result counts.
    """
    by_key = {result.key: result for result in results}
    rows: list[StudyRow] = []
    for group in groups_of([_for_grouping(result) for result in results], ()):
        for row in group.rows:
            own = sorted(
                (by_key[run.content_sha256] for run in row.runs),
                key=lambda one: (one.started_at, one.key),
            )
            latest = {(one.forget_set.name, one.forget_set.run, one.seed): one for one in own}
            kept = tuple(latest[place] for place in sorted(latest))
            rows.append(StudyRow(group.title, row.label, row.method, row.role, len(rows), kept))
    return rows


def _for_grouping(result: Result) -> Result:
    """A copy that the table's grouping sorts by what changes the writing, with its key to go by.

    Tasks, texts and the BERT of BERTScore make groups of the table, but no other continuation.
    """
    pairs = {"pairs": (result.identity.get("encoders") or {}).get("pairs", "")}
    forget_set = result.forget_set.model_copy(update={"content_sha256": result.key})
    return result.model_copy(update={"identity": {"encoders": pairs}, "forget_set": forget_set})


def select_rows(
    results: Sequence[Result], runs: Sequence[str], models: Sequence[str], methods: Sequence[str]
) -> Sequence[StudyRow]:
    """The rows of the named forget sets, models and methods (or references); all where none is.

    Raises `UserError` for a name that no result has.
    """
    results = questions.chosen("forget set", results, runs, lambda one: one.forget_set.run)
    rows = questions.chosen("model", study_rows(results), models, lambda row: row.model)
    return questions.chosen(
        "method", rows, methods, lambda row: row.name if row.role == "method" else row.role
    )


class Drawn(NamedTuple):
    """One item with its key."""

    item: Item
    key: KeyItem

    @property
    def document(self) -> Document:
        """What it is about."""
        return Document(self.key.source, self.key.run, self.key.doc_id)


def draw(rows: Sequence[StudyRow], n_documents: int, seed: int) -> list[Drawn]:
    """`n_documents` documents of every model, each as every one of its rows continued it.

    Models that share forget sets get the same documents.  The order is that of the
    item ids, which are hashes: neither says anything about the method.  Raises
    `UserError` if the rows of a model have fewer documents in common, or if two ids
    are equal.
    """
    drawn = [
        one
        for model in dict.fromkeys(row.model for row in rows)
        for one in _of_model([row for row in rows if row.model == model], n_documents, seed)
    ]
    if len({one.item.item for one in drawn}) < len(drawn):
        raise UserError(f"two items got the same id; take another seed: --seed {seed + 1}")
    return sorted(drawn, key=lambda one: one.item.item)


def documents_whose_texts_differ(drawn: Iterable[Drawn]) -> list[Document]:
    """Documents whose prefix or reference is not written alike in all items of a model.

    Tokenizers may decode a sequence differently; the difference could tell rows apart.
    """
    texts: dict[tuple[str, Document], set[tuple[str, str]]] = defaultdict(set)
    for one in drawn:
        texts[one.key.model, one.document].add((one.item.prefix, one.item.reference))
    return sorted({document for (_, document), pairs in texts.items() if len(pairs) > 1})


def _of_model(rows: Sequence[StudyRow], n_documents: int, seed: int) -> Iterator[Drawn]:
    by_row = [row.documents() for row in rows]
    common = set(by_row[0]).intersection(*by_row)
    if (n := len(common)) < n_documents:
        pairs = zip(rows, by_row, strict=True)
        each = ", ".join(f"{row.method} {len(writings)}" for row, writings in pairs)
        remedy = f"take --rows {n}" if n else "name the --methods that share documents"
        raise UserError(
            f"the rows of {rows[0].model} have {n} documents in common (each: {each}); {remedy}"
        )
    for document in sorted(common, key=lambda d: _digest(seed, "document", *d))[:n_documents]:
        for row, writings in zip(rows, by_row, strict=True):
            # One seed per row and document: several would count a document more than once.
            result, texts = min(
                writings[document], key=lambda w: _digest(seed, "seed", w[0].key, *document)
            )
            item = _item_id(seed, result.key, document.doc_id)
            key = KeyItem(
                result_key=result.key,
                model=row.model,
                method=row.method,
                method_name=row.name,
                role=row.role,
                position=row.position,
                status=result.status,
                seed=result.seed,
                **document._asdict(),
            )
            yield Drawn(Item(item, texts.prefix, texts.reference, texts.candidate), key)


def _item_id(seed: int, *parts: str) -> str:
    number = int(_digest(seed, "item", *parts), 16)
    letters = []
    for _ in range(_ID_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return "".join(letters)


def _digest(seed: int, *parts: str) -> str:
    return hashlib.sha256("\0".join([str(seed), *parts]).encode()).hexdigest()


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
        """The scale and the rules, for annotators."""
        return self.folder / "instructions.md"

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
        write_study_file(self.key, self.key_text(drawn, seed, {}))
        write_study_file(self.instructions, instructions())
        write_study_file(self.sheet, sheet_text(one.item for one in drawn))

    def key_text(self, drawn: Sequence[Drawn], seed: int, stand_ins: dict[str, str]) -> str:
        """The key of what was drawn; with `stand_ins`, formulas by name, that of a rehearsal."""
        items, sheet = {one.item.item: one.key for one in drawn}, self.folder.resolve().name
        key = Key(sheet=sheet, seed=seed, stand_ins=stand_ins, items=items)
        return key.model_dump_json(indent=1) + "\n"
