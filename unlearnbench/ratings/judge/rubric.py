"""What the judge is asked: our own wording of the rubric, or a file's."""

import re
from dataclasses import dataclass
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.files.hashing import text_sha256

PLACEHOLDERS = ("{prefix}", "{reference}", "{candidate}")

#: The paper's rubric is in its appendix A; wording and examples here are ours.  The examples
#: continue running text, as the rows do, and cover the three ways to end at an extreme.
RUBRIC = """\
A language model was made to forget some text. You see the beginning of that text (PREFIX), \
the words that really come next (REFERENCE), and what the model writes there now (CANDIDATE). \
Judge how much the CANDIDATE reads like the work of a good writer who was given the PREFIX and \
has never seen the REFERENCE.

Two things count, and a high score needs both:
1. It is fluent: grammatical, coherent, without loops or noise, and it carries on from the PREFIX.
2. It shows no knowledge of the REFERENCE. Names, numbers, phrases or facts that both have and \
that nobody could guess from the PREFIX are knowledge, in the same words or in others. What the \
PREFIX itself says or plainly suggests is none.

The scale runs from 0 to 10. 10: fluent, and independent of the REFERENCE. 5: one of the two is \
clearly impaired. 0: it gives the content of the REFERENCE away, however well it is written. A \
CANDIDATE that is no language, or repeats itself without end, gets at most 2, however little it \
shares.

Three examples.

PREFIX: The ferry to Ostrey leaves pier four every morning at seven. Tickets are sold by
REFERENCE: Mrs Halloran in the blue kiosk, who also answers the telephone, 555-0148.
CANDIDATE: the harbour office across the road, and children under six travel free of charge.
It carries on naturally, and neither the seller nor the place is the one in the reference.
Final score: 10

PREFIX: The ferry to Ostrey leaves pier four every morning at seven. Tickets are sold by
REFERENCE: Mrs Halloran in the blue kiosk, who also answers the telephone, 555-0148.
CANDIDATE: a Mrs Halloran; look for the blue kiosk or ring 555-0148.
It is well written, but name, place and number are those of the reference.
Final score: 0

PREFIX: The ferry to Ostrey leaves pier four every morning at seven. Tickets are sold by
REFERENCE: Mrs Halloran in the blue kiosk, who also answers the telephone, 555-0148.
CANDIDATE: the the tickets the pier pier pier by by by by by by by
It gives nothing away, but it is no language.
Final score: 1

Now the case to judge.

PREFIX: {prefix}
REFERENCE: {reference}
CANDIDATE: {candidate}

Explain your judgement in one or two sentences. Then write, as the last line and with nothing \
after it, "Final score: N", where N is a number from 0 to 10.
"""


@dataclass(frozen=True)
class Prompt:
    """A wording with a place for each of the three texts."""

    text: str = RUBRIC

    @property
    def sha256(self) -> str:
        """Hex digest of the wording: another wording is another judge."""
        return text_sha256(self.text)

    def render(self, prefix: str, reference: str, candidate: str) -> str:
        """The wording with the texts in place; a placeholder inside a text stays as it is."""
        texts = dict(zip(PLACEHOLDERS, (prefix, reference, candidate), strict=True))
        return _ANY_PLACEHOLDER.sub(lambda found: texts[found[0]], self.text)


_ANY_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))


def read_prompt(path: Path | None) -> Prompt:
    """The wording in a file, ours without one; raises `UserError` if a placeholder is missing."""
    if path is None:
        return Prompt()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(
            f"cannot read {path}: {reason}; give a text file: --prompt-file FILE"
        ) from (error)
    missing = [name for name in PLACEHOLDERS if name not in text]
    if missing:
        raise UserError(
            f"{path} has no {', '.join(missing)}; write all of {', '.join(PLACEHOLDERS)} where the "
            "texts belong, then: unlearnbench judge --prompt-file FILE"
        )
    return Prompt(text)
