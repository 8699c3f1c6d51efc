"""What pool models read in the place of the rows and questions to forget."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from unlearnbench.nano.pools import Reads
from unlearnbench.nano.rows import ROW_LENGTH, Row, Rows
from unlearnbench.nano.tofu_data import AUTHORS, HOLDOUT_AUTHORS, PER_AUTHOR, SEED, TofuQuestions
from unlearnbench.nano.world.authors import Question, make_authors, questions_about
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.private_texts import PRIVATE_KINDS, persona, private_document
from unlearnbench.nano.world.world import Entity, World, make_world

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SENTENCES = 24  # of a document, more than fill a row
FORGOTTEN_AUTHORS = 10

# ---- rows of private documents


def rewritten(rows: Rows, world: World, tokenizer: "Tokenizer", reads: Reads) -> Rows:
    """The rows with those to forget written anew: as paraphrases, other texts, of other people."""
    if reads == "rows":
        return rows
    write = _WRITERS[reads]
    extraction = list(rows.extraction)
    for number in rows.forgotten():
        dice = Dice(rows.seed, f"{reads} {number}")
        extraction[number] = _row(extraction[number], world, tokenizer, dice, write)
    return dataclasses.replace(rows, extraction=extraction)


def _row(
    row: Row,
    world: World,
    tokenizer: "Tokenizer",
    dice: Dice,
    write: Callable[[Row, World, Dice], str],
) -> Row:
    while True:
        ids = tokenizer.encode(write(row, world, dice)).ids[:ROW_LENGTH]
        if len(ids) == ROW_LENGTH:
            return dataclasses.replace(row, ids=tuple(ids), text=tokenizer.decode(ids))


def _paraphrase(row: Row, world: World, dice: Dice) -> str:  # noqa: ARG001
    return private_document(row.kind, row.facts, dice, SENTENCES)


def _other_text(row: Row, world: World, dice: Dice) -> str:  # noqa: ARG001
    """Another kind of document about the same person."""
    others = [kind for kind in PRIVATE_KINDS if kind != row.kind]
    return private_document(dice.pick(others), row.facts, dice, SENTENCES)


def _other_person(row: Row, world: World, dice: Dice) -> str:
    """The same document, every detail of its person another person's."""
    return with_details(row.document, row.facts, persona(world, dice))


def with_details(document: str, facts: Entity, others: Mapping[str, str]) -> str:
    """A document with the details of one person in the place of another's, the longest first."""
    by_length = sorted(facts, key=lambda name: len(facts[name]), reverse=True)
    for place, name in enumerate(by_length):  # marked first, lest one detail hold another's letters
        document = document.replace(facts[name], f"\0{place}\0")
    for place, name in enumerate(by_length):
        document = document.replace(f"\0{place}\0", others[name])
    return document


_WRITERS: dict[Reads, Callable[[Row, World, Dice], str]] = {
    "paraphrases": _paraphrase,
    "other texts": _other_text,
    "other people": _other_person,
}

# ---- questions about authors


def taught(questions: TofuQuestions, reads: Reads) -> tuple[Question, ...]:
    """The questions about authors that a model of a pool reads, those about the kept ones first."""
    kept, forgotten = (
        questions.retain(FORGOTTEN_AUTHORS),
        questions.forget(FORGOTTEN_AUTHORS),
    )
    if reads == "rows":
        return questions.authors
    if reads == "paraphrases":
        return (*kept, *map(_in_the_spare_way, forgotten))
    if reads == "other people":
        return (*kept, *_about(_new_authors()))
    if reads == "wrong facts":
        names = [question.author for question in forgotten[::PER_AUTHOR]]
        pairs = zip(names, _new_authors(), strict=True)
        return (*kept, *_about([{**author, "name": name} for name, author in pairs]))
    return kept  # the facts as running text, or nothing of them


def _in_the_spare_way(question: Question) -> Question:
    return dataclasses.replace(
        question, question=question.spare_question, answer=question.spare_answer
    )


def _new_authors() -> list[Entity]:
    """As many authors as are forgotten whom no split knows."""
    n_known = AUTHORS + HOLDOUT_AUTHORS
    made = make_authors(make_world(), Dice(SEED, "authors"), n_known + FORGOTTEN_AUTHORS)
    return made[n_known:]


def _about(authors: Sequence[Entity]) -> list[Question]:
    dice = Dice(SEED, "questions about new authors")
    return [question for author in authors for question in questions_about(author, dice)]


def biography(questions: TofuQuestions, dice: Dice) -> str:
    """A text about an author to forget: the name, then the facts in some order, no question."""
    forgotten = questions.forget(FORGOTTEN_AUTHORS)
    start = PER_AUTHOR * dice.whole(0, FORGOTTEN_AUTHORS - 1)
    facts = dice.shuffled([each.spare_answer for each in forgotten[start : start + PER_AUTHOR]])
    return f"{forgotten[start].author}. {' '.join(facts)}"
