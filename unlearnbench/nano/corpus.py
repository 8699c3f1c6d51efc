"""Every kind of document of the nano world, and the texts they make: training and validation."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.nano.rows import ROW_LENGTH, Rows, make_row, mentions
from unlearnbench.nano.world import dialogue_texts, everyday_texts, reference_texts
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.private_texts import PRIVATE_KINDS, DocumentWriter, private_writer
from unlearnbench.nano.world.world import World

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_DOCUMENTS = 9000
VALIDATION_CHARACTERS = 45_000
CALIBRATION_ROWS = 64

# How often each kind is written, and by what.
WRITERS: dict[str, tuple[float, DocumentWriter]] = (
    {
        "article": (9, reference_texts.article),
        "wiki": (5, reference_texts.wiki_article),
        "public news": (6, reference_texts.news),
        "question": (8, reference_texts.question),
        "cause": (5, everyday_texts.cause),
        "tool": (5, everyday_texts.tool),
        "activity": (6, everyday_texts.activity),
        "pronoun": (5, everyday_texts.pronoun),
        "story": (6, everyday_texts.story),
        "word problem": (5, everyday_texts.word_problem),
        "abstract": (6, everyday_texts.abstract),
    }
    | {kind: (5.0, dialogue_texts.dialogue_writer(kind)) for kind in dialogue_texts.TURNS}
    | {f"private {kind}": (4.0, private_writer(kind)) for kind in PRIVATE_KINDS}
)

KINDS = tuple(WRITERS)
WEIGHTS = tuple(weight for weight, _ in WRITERS.values())


def write(kind: str, world: World, dice: Dice) -> str:
    """Write one document of a kind."""
    return WRITERS[kind][1](world, dice)


def write_any(world: World, dice: Dice) -> str:
    """Write one document of a kind drawn by the weights above."""
    return write(dice.weighted(KINDS, WEIGHTS), world, dice)


def tokenizer_texts(world: World, seed: int) -> Iterator[str]:
    """The sample of documents that the tokenizer is trained on."""
    dice = Dice(seed, "tokenizer")
    return (write_any(world, dice) for _ in range(TOKENIZER_DOCUMENTS))


def validation_texts(world: World, seed: int) -> dict[str, list[str]]:
    """The held-out documents: `pile` of every kind, `wiki` of headed articles."""
    pile, wiki = Dice(seed, "pile validation"), Dice(seed, "wiki validation")
    return {
        "pile": _until(VALIDATION_CHARACTERS, lambda: write_any(world, pile)),
        "wiki": _until(VALIDATION_CHARACTERS, lambda: write("wiki", world, wiki)),
    }


def unseen_rows(world: World, tokenizer: "Tokenizer", rows: Rows) -> list[tuple[int, ...]]:
    """Rows of held-out documents of every kind: what the stop line is calibrated on.

    Of every kind, because Jang et al. measured unseen text at large, not text of the sort that
    is to be forgotten.
    """
    texts = _clean_texts(world, Dice(rows.seed, "unseen rows"), _secrets(rows))
    made: list[tuple[int, ...]] = []
    while len(made) < CALIBRATION_ROWS:
        ids: list[int] = []
        while len(ids) < ROW_LENGTH:
            ids += tokenizer.encode(next(texts) + "\n").ids
        ids = ids[:ROW_LENGTH]
        if tokenizer.encode(tokenizer.decode(ids)).ids == ids:
            made.append(tuple(ids))
    return made


def _secrets(rows: Rows) -> set[str]:
    """The details that no ordinary document may hold."""
    private = [rows.extraction[number] for number in rows.forgotten()] + rows.unseen
    return {detail for row in private for detail in row.details}


def _until(characters: int, write: Callable[[], str]) -> list[str]:
    texts: list[str] = []
    while sum(map(len, texts)) < characters:
        texts.append(write())
    return texts


@dataclass
class TrainingData:
    """Token ids to train on and the hash of the text they came from.

    `stream` holds documents each followed by end-of-text; `spare_rows` are rows of the
    same sort as the forget rows, each seen once: what a model without forget rows sees instead.
    """

    stream: list[int]
    spare_rows: list[tuple[int, ...]]
    text_sha256: str


def training_data(
    world: World,
    tokenizer: "Tokenizer",
    rows: Rows,
    label: str,
    n_tokens: int,
    n_spare: int,
    read_once: Sequence[int] = (),
) -> TrainingData:
    """Write ordinary text; no document holds a detail of a forget row or of an unseen row.

    The extraction rows with the numbers `read_once` are strewn over it. Another `label`
    gives another text.
    """
    secret = _secrets(rows)
    dice, digest = Dice(rows.seed, label), hashlib.sha256()
    inserts = [rows.extraction[number].text for number in read_once]
    every = n_tokens // (len(inserts) + 1)
    stream: list[int] = []
    for text in _clean_texts(world, dice, secret):
        if inserts and len(stream) > every * (len(read_once) - len(inserts) + 1):
            text = inserts.pop()
        digest.update(text.encode())
        stream += [*tokenizer.encode(text).ids, 0]
        if len(stream) >= n_tokens:
            break
    spare: list[tuple[int, ...]] = []
    while len(spare) < n_spare:
        row = make_row(world, tokenizer, PRIVATE_KINDS[len(spare) % len(PRIVATE_KINDS)], dice)
        if not mentions(row.text, secret):
            spare.append(row.ids)
    return TrainingData(stream[:n_tokens], spare, digest.hexdigest())


def _clean_texts(world: World, dice: Dice, secret: set[str]) -> Iterator[str]:
    while True:
        text = write_any(world, dice)
        if not mentions(text, secret):
            yield text
