"""An annotator's ratings as the page keeps them: one CSV, written whole at every score."""

import fcntl
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.scale import HIGHEST, LOWEST
from unlearnbench.ratings.human.spreadsheets import read_table, write_table

_PREFIX = "ratings-"
_COLUMNS = ("item", "score", "rated_at")
RATED_BY = "rated_by"  # a column in the files of rules only
RULE_PREFIX = "rule-"  # of annotators that are rules; no person's name begins so


class Rating(NamedTuple):
    """One score and when it was given (UTC, ISO 8601)."""

    score: int
    rated_at: str


def ratings_path(folder: Path, annotator: str) -> Path:
    """Where an annotator's ratings are.  Raises `UserError` for a name that no file can have."""
    if not re.fullmatch(r"\w[\w.-]{0,63}", annotator):
        raise UserError(
            f"--annotator '{annotator}' is no name for a file; take letters, digits, '.', '-' "
            "and '_': --annotator anna"
        )
    return folder / f"{_PREFIX}{annotator}.csv"


def ratings_in(folder: Path) -> list[Path]:
    """The files of ratings in a folder."""
    return sorted(folder.glob(f"{_PREFIX}*.csv"))


def annotator_of(path: Path) -> str:
    """Who filled a file: its name, without what the page puts before it."""
    return path.stem.removeprefix(_PREFIX)


def read_ratings(path: Path) -> dict[str, Rating]:
    """The ratings by item id; none where there is no file yet.

    Raises `UserError` for a file that the page did not write so: nothing is guessed
    or dropped.
    """
    if not path.exists():
        return {}
    ratings: dict[str, Rating] = {}
    rows = read_table(path, _COLUMNS[:2], _COLUMNS[2:])
    _refuse_other_columns(path, rows)
    for number, row in rows:
        item, score = row["item"].strip(), row["score"].strip()
        if not item or item in ratings or score not in _SCORES:
            raise UserError(
                f"{path}: row {number}: item '{item}' is empty, there twice or has no score of "
                f"{LOWEST}-{HIGHEST}; correct the row, then start the page again"
            )
        ratings[item] = Rating(int(score), row.get("rated_at", ""))
    return ratings


def _refuse_other_columns(path: Path, rows: Iterable[tuple[int, Mapping[str, str]]]) -> None:
    """The page writes the file anew at every score: what else stands in it would be lost."""
    others = sorted({n for _, row in rows for n, value in row.items() if value} - set(_COLUMNS))
    if RATED_BY in others:
        raise UserError(f"{path}: a rule gave these scores; a person takes another --annotator")
    if others:
        raise UserError(
            f"{path} has a column '{others[0]}', which the page would lose; take it out, or take "
            "another --annotator"
        )


def save_rating(path: Path, item: str, score: int) -> dict[str, Rating]:
    """Add or correct one rating, durably; all ratings after it.

    The file is read again under a lock first, so that a second tab, or a second page
    of the same annotator, loses nothing.
    """
    with _locked(path):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        ratings = {**read_ratings(path), item: Rating(score, now)}
        rows = [(name, rating.score, rating.rated_at) for name, rating in ratings.items()]
        write_table(path, _COLUMNS, rows)
    return ratings


_SCORES = tuple(map(str, range(LOWEST, HIGHEST + 1)))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # A file of its own: the ratings' is replaced at every write.
    lock = path.with_name(f".{path.stem}.lock")
    try:
        file = lock.open("a")
    except OSError as error:
        raise UserError(f"cannot write to {path.parent}: {error.strerror}") from error
    with file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield
