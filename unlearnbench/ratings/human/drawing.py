"""Drawing a blind sheet: the same documents for every method, in an order that tells nothing."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.key import Key, KeyItem, write_key
from unlearnbench.ratings.human.ratings import ratings_in
from unlearnbench.ratings.human.rows import Document, StudyRow, continuations
from unlearnbench.ratings.human.scale import instructions
from unlearnbench.ratings.human.sheet import SHEET_NAME, Item, write_sheet
from unlearnbench.ratings.human.spreadsheets import write_whole
from unlearnbench.results.record import Result

# No vowels and no digits: a spreadsheet takes such an id for no word, number or date.
_LETTERS = "bcdfghjkmnpqrstvwxz"
_ID_LENGTH = 10


@dataclass(frozen=True)
class Drawn:
    """One item with its key, and the document it is about."""

    item: Item
    key: KeyItem
    document: Document


def draw(rows: Sequence[StudyRow], n_documents: int, seed: int) -> list[Drawn]:
    """`n_documents` documents of every model, each as every one of its rows continued it.

    Models that share forget sets get the same documents.  The order is that of the
    item ids, which are hashes: neither says anything about the method.  Raises
    `UserError` if the rows of a model have fewer documents in common, or if two ids
    are equal.
    """
    places = {row.title: place for place, row in enumerate(rows)}
    drawn = [
        _drawn(row, places[row.title], document, result, seed)
        for model in dict.fromkeys(row.model for row in rows)
        for row, document, result in _of_model(
            [row for row in rows if row.model == model], n_documents, seed
        )
    ]
    if len({one.item.item for one in drawn}) < len(drawn):
        raise UserError(f"two items got the same id; take another seed: --seed {seed + 1}")
    return sorted(drawn, key=lambda one: one.item.item)


def documents_whose_texts_differ(drawn: Iterable[Drawn]) -> list[Document]:
    """Documents whose prefix or reference is not written alike in all items of a model.

    Tokenizers may decode a sequence differently; the difference could tell rows apart.
    """
    texts: dict[tuple[str, Document], set[tuple[str, str]]] = {}
    for one in drawn:
        found = texts.setdefault((one.key.model, one.document), set())
        found.add((one.item.prefix, one.item.reference))
    return sorted({document for (_, document), found in texts.items() if len(found) > 1})


def _of_model(
    rows: Sequence[StudyRow], n_documents: int, seed: int
) -> Iterator[tuple[StudyRow, Document, Result]]:
    written = [row.documents() for row in rows]
    common = set(written[0]).intersection(*written)
    if len(common) < n_documents:
        raise UserError(_too_few(rows, [len(found) for found in written], len(common)))
    for document in sorted(common, key=lambda d: _digest(seed, "document", *d))[:n_documents]:
        for row, found in zip(rows, written, strict=True):
            # One seed per row and document: several would count a document more than once.
            result = min(found[document], key=lambda r: _digest(seed, "seed", r.key, *document))
            yield row, document, result


def _drawn(row: StudyRow, place: int, document: Document, result: Result, seed: int) -> Drawn:
    doc_id, known = document.doc_id, result.in_full().forget_set
    item = Item(
        item=_item_id(seed, result.key, doc_id),
        prefix=known.prefixes[doc_id],
        reference=known.suffixes[doc_id],
        continuation=continuations(result)[doc_id],
    )
    key = KeyItem(
        result_key=result.key,
        model=row.model,
        method=row.method,
        method_name=row.name,
        role=row.role,
        position=place,
        status=result.status,
        source=document.source,
        run=document.run,
        seed=result.seed,
        doc_id=doc_id,
    )
    return Drawn(item, key, document)


def _item_id(seed: int, *parts: str) -> str:
    number = int(_digest(seed, "item", *parts), 16)
    letters = []
    for _ in range(_ID_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return "".join(letters)


def _digest(seed: int, *parts: str) -> str:
    return hashlib.sha256("\0".join([str(seed), *parts]).encode()).hexdigest()


def _too_few(rows: Sequence[StudyRow], counts: Sequence[int], n_common: int) -> str:
    each = ", ".join(f"{row.method} {n}" for row, n in zip(rows, counts, strict=True))
    remedy = f"take --rows {n_common}" if n_common else "name the --methods that share documents"
    return (
        f"the rows of {rows[0].model} have {n_common} documents in common (each: {each}); {remedy}"
    )


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
