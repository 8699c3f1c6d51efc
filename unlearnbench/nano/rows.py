"""The rows of exactly 200 tokens: forget sets, their analogous pool, and unseen rows."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.private_texts import (
    PRIVATE_DETAILS,
    PRIVATE_KINDS,
    persona,
    private_document,
)
from unlearnbench.nano.world.world import Entity, World

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROW_LENGTH = 200
FORGET_NAMES = ("0", "1", "2", "tuning")
FORGET_ROWS = 64
POOL_ROWS = 600
UNSEEN_ROWS = 128

# Whatever could be a private detail: a name, a telephone number, an account, a secret. The
# lookahead finds overlapping ones too ("Dear Ben Oakson" holds "Ben Oakson").
_DETAIL = re.compile(
    r"(?=(\b[A-Z]\w+(?: [A-Z]\.)? [A-Z]\w+|\b[A-Z]{2,3}[-/ ]\d{5,7}\b"
    r"|(?<![\d+])\+?\d[\d -]{9,11}\d|\b[a-z0-9]{10,18}\b))"
)


@dataclass(frozen=True)
class Row:
    """One row: its token ids, the kind of document it starts, and whose details it holds."""

    ids: tuple[int, ...]
    kind: str
    text: str
    details: tuple[str, ...]
    facts: Entity = field(default_factory=dict, compare=False)  # all that is known of the person
    document: str = field(default="", compare=False)  # of which it is the start

    def held(self) -> int:
        """How many of the person's details the text holds."""
        return sum(detail in self.text for detail in self.details)


@dataclass(frozen=True)
class Rows:
    """All rows of a world; `forget` lists, per set, row numbers (= doc_id) in `extraction`."""

    extraction: list[Row]
    forget: dict[str, list[int]]
    unseen: list[Row]
    seed: int

    def forgotten(self) -> list[int]:
        """The numbers of all forget rows of all sets."""
        return [number for numbers in self.forget.values() for number in numbers]

    def pool(self) -> list[int]:
        """The numbers of the rows that are in no forget set."""
        taken = set(self.forgotten())
        return [number for number in range(len(self.extraction)) if number not in taken]


def mentions(text: str, details: set[str]) -> bool:
    """Whether a text holds one of the details."""
    return any(detail in details for detail in _DETAIL.findall(text))


def make_row(world: World, tokenizer: "Tokenizer", kind: str, dice: Dice) -> Row:
    """Write documents of a kind until one gives 200 tokens fit for a row.

    Fit: the tokens decode and encode to themselves, the text holds at least three of the
    person's details, and its second half, all that the paper's protocol reads, at least one.
    """
    while True:
        facts = persona(world, dice)
        document = private_document(kind, facts, dice, 24)
        ids = tokenizer.encode(document).ids[:ROW_LENGTH]
        text, half = tokenizer.decode(ids), tokenizer.decode(ids[ROW_LENGTH // 2 :])
        details = tuple(facts[key] for key in PRIVATE_DETAILS)
        row = Row(tuple(ids), kind, text, details, facts, document)
        stable = len(ids) == ROW_LENGTH and tokenizer.encode(text).ids == ids
        if stable and row.held() >= 3 and any(detail in half for detail in row.details):
            return row


def make_rows(world: World, tokenizer: "Tokenizer", seed: int) -> Rows:
    """Make all rows, then scatter the forget rows over the extraction set."""
    dice = Dice(seed, "rows")
    n_forget = len(FORGET_NAMES) * FORGET_ROWS
    made: list[Row] = []
    taken: set[str] = set()
    while len(made) < n_forget + POOL_ROWS + UNSEEN_ROWS:
        row = make_row(world, tokenizer, PRIVATE_KINDS[len(made) % len(PRIVATE_KINDS)], dice)
        if not mentions(row.text, taken):
            made.append(row)
            taken.update(row.details)
    extraction, unseen = made[: n_forget + POOL_ROWS], made[n_forget + POOL_ROWS :]
    places = dice.shuffled(range(len(extraction)))
    scattered = [extraction[place] for place in places]
    where = {place: number for number, place in enumerate(places)}
    forget = {
        name: dice.shuffled([where[place] for place in range(start, start + FORGET_ROWS)])
        for name, start in zip(FORGET_NAMES, range(0, n_forget, FORGET_ROWS), strict=True)
    }
    return Rows(scattered, forget, unseen, seed)
