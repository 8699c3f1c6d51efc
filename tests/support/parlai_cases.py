"""Texts that are hard on a token F1, and what ParlAI makes of some of them.

`tests/support/parlai.json` holds the answers of ParlAI's own code, so that every test run
compares with them.  To make it again, in the environment that docs/dialogue.md describes:

    python tests/parlai_cases.py
"""

import json
import random
from pathlib import Path

TABLE = Path(__file__).parent / "parlai.json"
N_STORED = 400

_PIECES = (
    *("a", "an", "the", "A", "AN", "The", "THE", "a.", "(the)", "the's", "an-an", "_a_", "a_b"),
    *("“the", "the”", "‘a’", "—an—", "thé", "theá", "á", "a\u0301", "the\u200b", "the\u00a0a"),
    *("I", "i", "I'm", "i'll", "i ' m", "i'd've", "'i'", "i.", "ii", "don't", "dogs'", "' '"),
    *(".", "?", "!", ",", "'", "?.", ".!", "?.!", "!?", "...", "..", " . ", "?!", "-", "$5.50"),
    *("dog", "Dog", "dogs", "red", "RED", "blue", "yes", "no", "3", "3,000", "10%", "e.g.", "U.S."),
    *(
        "straße",
        "STRASSE",
        "İstanbul",
        "ﬁne",
        "ǆ",
        "ŉ",
        "Ω",
        "中文",
        "😀",
        "x" * 40,
        "\x00",
        "\x1f",
    ),
    *("", " ", "  ", "\t", "\n", "\u00a0", "\u2003", "\u3000", "[SEP]", "<|endoftext|>", "user 1:"),
    *('"', "#", "%", "&", "(", ")", "*", "+", "/", ":", ";", "<", "=", ">", "@", "[", "\\", "]"),
    *("^", "`", "{", "|", "}", "~", "_", "§", "–", "…", "¿", "،", "。", "＇"),
)
_JOINTS = ("", " ", " ", " ", "  ", "   ", "\n", "\t", "\u00a0", " ' ", "'", ". ", ".", " , ")


def nasty_text(dice: random.Random, longest: int = 12) -> str:
    """Words, marks and spaces of every kind; now and then characters from anywhere."""
    if dice.random() < 0.15:
        return "".join(
            chr(dice.choice((dice.randrange(128), dice.randrange(0x3000)))) for _ in "x" * 9
        )
    pieces = dice.choices(_PIECES, k=dice.randrange(longest))
    return "".join(piece + dice.choice(_JOINTS) for piece in pieces)


def f1_case(dice: random.Random) -> tuple[str, list[str]]:
    """A reply and references, which often share words with it."""
    reply = nasty_text(dice)
    references = [nasty_text(dice) for _ in range(dice.choice((0, 1, 1, 1, 2, 3)))]
    if references and dice.random() < 0.5:
        words = reply.split(" ")
        dice.shuffle(words)
        references[0] = " ".join(words[: dice.randrange(len(words) + 1)]) + references[0]
    return reply, references


def stored_table() -> dict:
    """Cases with ParlAI's values: 'f1' [reply, references, value], 'reply' [text, normalised]."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def _write_table() -> None:
    from importlib.metadata import version

    from parlai.core.metrics import F1Metric
    from parlai.utils.strings import normalize_reply

    dice = random.Random(20)
    empty = [("", [""]), ("", []), ("a", ["the"]), ("...", ["."]), ("dog", [""]), ("", ["dog"])]
    asked = empty + [f1_case(dice) for _ in range(N_STORED)]
    texts = ["", " ", "?", "? what", "x  y"] + [nasty_text(dice) for _ in range(N_STORED)]
    table = {
        "parlai": version("parlai"),
        "f1": [[reply, refs, F1Metric.compute(reply, refs).value()] for reply, refs in asked],
        "reply": [[text, normalize_reply(text)] for text in texts],
    }
    lines = [f'"parlai": {json.dumps(table["parlai"])}']
    for name in ("f1", "reply"):
        rows = ",\n".join(json.dumps(row) for row in table[name])
        lines.append(f'"{name}": [\n{rows}\n]')
    TABLE.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    _write_table()
