"""One annotator at a sheet: what the page shows, and where each rating goes."""

import getpass
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.ratings import (
    RULE_PREFIX,
    annotator_of,
    ratings_in,
    ratings_path,
    read_ratings,
    save_rating,
)
from unlearnbench.ratings.human.scale import HIGHEST, LOWEST, RULES, SCALE, TASK
from unlearnbench.ratings.human.sheet import Item, read_sheet


@dataclass(frozen=True)
class AnnotationStudy:
    """What one annotator rates, and where the ratings go; the key is nowhere near."""

    items: Sequence[Item]
    annotator: str
    ratings: Path

    @classmethod
    def open(cls, sheet: Path, annotator: str | None) -> "AnnotationStudy":
        """The study of a sheet, or of the sheet in a folder; ratings lie beside it.

        Raises `UserError` for a file that is no sheet, ratings that cannot be read, or a
        rehearsal, which rules rate.
        """
        name = annotator or _login_name()
        folder = sheet if sheet.is_dir() else sheet.parent
        _refuse_rules(folder, name)
        study = cls(read_sheet(sheet), name, ratings_path(folder, name))
        study.n_rated()  # damaged ratings are told now, not at the first score
        return study

    def n_rated(self) -> int:
        """How many of the sheet's items have a score."""
        return len(self._ids & set(read_ratings(self.ratings)))

    def state(self) -> dict[str, Any]:
        """Everything the page shows, ratings so far included."""
        return {
            "annotator": self.annotator,
            "file": str(self.ratings),
            "task": TASK,
            "rules": RULES,
            "scale": [asdict(level) for level in SCALE],
            "items": [item._asdict() for item in self.items],
            "ratings": {i: r.score for i, r in read_ratings(self.ratings).items()},
        }

    def rate(self, item: object, score: object) -> int:
        """Save one rating; how many of the sheet's items have one now.

        Raises `ValueError` for an item that is not in the sheet, or no whole score of 1-8.
        """
        if not isinstance(item, str) or item not in self._ids:
            raise ValueError("no such item in this sheet")
        if type(score) is not int or not LOWEST <= score <= HIGHEST:
            raise ValueError(f"the score must be a whole number, {LOWEST}-{HIGHEST}")
        return len(self._ids & set(save_rating(self.ratings, item, score)))

    @cached_property
    def _ids(self) -> set[str]:
        return {item.item for item in self.items}


def _refuse_rules(folder: Path, annotator: str) -> None:
    if annotator.startswith(RULE_PREFIX):
        raise UserError(
            f"--annotator '{annotator}' is a rule's name: rules begin with '{RULE_PREFIX}'; take "
            "your own: --annotator anna"
        )
    if any(annotator_of(path).startswith(RULE_PREFIX) for path in ratings_in(folder)):
        raise UserError(
            f"{folder} is a rehearsal: rules have rated it, and people are never mixed with them; "
            "make people a sheet: unlearnbench human sheet RESULTS --out FOLDER"
        )


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UserError("your login name is not known; give --annotator NAME") from error
