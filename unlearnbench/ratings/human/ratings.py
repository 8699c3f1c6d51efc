"""Ratings: kept one by one for the page, and read back from any filled sheet, each one checked."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.scale import HIGHEST, LOWEST
from unlearnbench.ratings.human.sheet import read_table, table_text, write_study_file

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
    # The page writes the file anew at every score: what else stands in it would be lost.
    others = sorted({n for _, row in rows for n, value in row.items() if value} - set(_COLUMNS))
    if RATED_BY in others:
        raise UserError(f"{path}: a rule gave these scores; a person takes another --annotator")
    if others:
        raise UserError(
            f"{path} has a column '{others[0]}', which the page would lose; take it out, or take "
            "another --annotator"
        )
    allowed = [str(score) for score in range(LOWEST, HIGHEST + 1)]
    for number, row in rows:
        item, score = row["item"].strip(), row["score"].strip()
        if not item or item in ratings or score not in allowed:
            raise UserError(
                f"{path}: row {number}: item '{item}' is empty, there twice or has no score of "
                f"{LOWEST}-{HIGHEST}; correct the row, then start the page again"
            )
        ratings[item] = Rating(int(score), row.get("rated_at", ""))
    return ratings


def save_rating(path: Path, item: str, score: int) -> dict[str, Rating]:
    """Add or correct one rating, durably; all ratings after it.

    The file is read again under a lock first, so that a second tab, or a second page
    of the same annotator, loses nothing.
    """
    from filelock import FileLock

    try:
        # A file of its own: the ratings' is replaced at every write.
        with FileLock(path.with_name(f".{path.stem}.lock")):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            ratings = {**read_ratings(path), item: Rating(score, now)}
            rows = [(name, rating.score, rating.rated_at) for name, rating in ratings.items()]
            write_study_file(path, table_text(_COLUMNS, rows))
    except OSError as error:
        raise UserError(f"cannot write to {path.parent}: {error.strerror}") from error
    return ratings


@dataclass(frozen=True)
class Problem:
    """Something wrong with a filled sheet."""

    path: Path
    row: int | None  # as a spreadsheet counts, the header being 1; None: there is no such row
    item: str
    what: str
    is_missing: bool = False  # a score that is only not there yet

    def __str__(self) -> str:
        """In words: 'anna.csv: row 3: item bcdfg: 9 is not in 1-8'."""
        row = "" if self.row is None else f"row {self.row}: "
        return f"{self.path}: {row}item {self.item or '(none)'}: {self.what}"


@dataclass(frozen=True)
class Filled:
    """One annotator's scores by item id, and what is wrong with the file they come from."""

    annotator: str
    path: Path
    scores: Mapping[str, int]
    problems: tuple[Problem, ...]
    is_by_rule: bool = False  # no person gave them: the file says so, whatever its name


def named_files(arguments: Iterable[str]) -> dict[str, Path]:
    """Files by annotator: 'anna=FILE', or the file's own name ('ratings-anna.csv' is anna's).

    Raises `UserError` if two files are the same annotator's, or one is nobody's.
    """
    named = []
    for text in arguments:
        name, equals, rest = text.partition("=")
        # A file may have an equals sign in its own name.
        is_named = equals and not Path(text).exists()
        path = Path(rest if is_named else text)
        named.append((name.strip() if is_named else annotator_of(path), path))
    return _by_annotator(named)


def files_in(folder: Path) -> dict[str, Path]:
    """The tables in a folder by annotator; raises `UserError` if two are the same one's."""
    return _by_annotator((annotator_of(path), path) for path in sorted(folder.glob("*.csv")))


def _by_annotator(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for annotator, path in named:
        if not annotator.strip():
            raise UserError(f"{path} names no annotator; give one: anna={path}")
        if annotator in files:
            raise UserError(
                f"{files[annotator]} and {path} are both of '{annotator}'; "
                f"name them: {annotator}={files[annotator]} {annotator}2={path}"
            )
        files[annotator] = path
    return files


def read_filled(annotator: str, path: Path, items: Collection[str]) -> Filled:
    """The ratings in a filled sheet or in the page's file, checked against the key's items.

    Raises `UserError` for a file that is no table of them.
    """
    scores: dict[str, int] = {}
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    rows = read_table(path, ("item", "score"), (RATED_BY,))
    for number, row in rows:
        item, text = row["item"].strip(), row["score"].strip()
        if not item:
            what: str | None = "a row without an item id"
        elif item in seen:
            what = f"there already in row {seen[item]}"
        elif item not in items:
            what = "not in the key; is it another study's sheet?"
        else:
            what = _wrong_score(text)
        if what:
            problems.append(Problem(path, number, item, what))
        elif text:
            scores[item] = int(number_in(text) or 0)
        else:
            problems.append(Problem(path, number, item, "no score", is_missing=True))
        seen.setdefault(item, number)
    absent = [item for item in items if item not in seen]
    problems += [Problem(path, None, item, "no row", is_missing=True) for item in absent]
    is_by_rule = any(row.get(RATED_BY) for _, row in rows)
    return Filled(annotator, path, scores, tuple(problems), is_by_rule)


def _wrong_score(text: str) -> str | None:
    """What is wrong with a score; None for a good one, and for none at all."""
    if not text:
        return None
    number = number_in(text)
    if number is None:
        return f"'{text}' is not a number"
    if number != int(number):
        return f"{text} is not a whole number"
    return None if LOWEST <= number <= HIGHEST else f"{text} is not in {LOWEST}-{HIGHEST}"


def number_in(text: str, decimals: int = 2) -> float | None:
    """The number that a spreadsheet's field shows, '3', '3.0' or '3,0'; None if it is none.

    It has two decimals at most by default: three digits behind a sign may be thousands, 3,000.
    """
    is_number = re.fullmatch(rf"[+-]?[0-9]{{1,15}}(?:[.,][0-9]{{1,{decimals}}})?", text)
    return float(text.replace(",", ".")) if is_number else None
