"""A rehearsal: the files of a study in which rules rate in people's place, marked as what it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.drawing import Drawn, StudyFiles, key_of
from unlearnbench.ratings.human.key import key_text
from unlearnbench.ratings.human.ratings import RATED_BY, ratings_path
from unlearnbench.ratings.human.rules import RULES, Rule
from unlearnbench.ratings.human.sheet import Item, sheet_text
from unlearnbench.ratings.human.spreadsheets import table_text, write_whole
from unlearnbench.ratings.human.stand_ins import described


def write_rehearsal(files: StudyFiles, drawn: Sequence[Drawn], seed: int) -> list[Path]:
    """Key, sheet and every rule's ratings, each written whole; the same again writes nothing.

    Returns the rules' files.  Raises `UserError` for a file that is there with other content:
    another study's, or the rehearsal of results that have changed since.
    """
    ratings = {ratings_path(files.folder, rule.name): rule for rule in RULES}
    items = [one.item for one in drawn]
    _write_missing({
        files.key: key_text(key_of(files, drawn, seed, _stand_ins())),
        files.instructions: f"# A rehearsal\n\n{described(_stand_ins())}\n",
        files.sheet: sheet_text(items),
        **{path: _ratings_text(rule, items) for path, rule in ratings.items()},
    })  # fmt: skip
    return list(ratings)


def _stand_ins() -> dict[str, str]:
    return {rule.name: rule.formula for rule in RULES}


def _ratings_text(rule: Rule, items: Sequence[Item]) -> str:
    # No time: the same texts get the same file whenever it is written.
    rows = [(item.item, rule.score(item), "a rule, no person") for item in items]
    return table_text(("item", "score", RATED_BY), rows)


def _write_missing(texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        if path.exists() and path.read_bytes() != text.encode():
            raise UserError(
                f"{path} is there already and holds something else; it may be a study with people "
                f"or of other results; rehearse elsewhere: --out {path.parent}-2"
            )
    for path, text in texts.items():
        if not path.exists():
            write_whole(path, text)
