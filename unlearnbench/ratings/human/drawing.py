"""Drawing a blind sheet: the same documents for every method, in an order that tells nothing."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.key import KeyItem
from unlearnbench.ratings.human.rows import Document, StudyRow, continuations
from unlearnbench.ratings.human.sheet import Item
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
    doc_id, known = document.doc_id, result.forget_set
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
