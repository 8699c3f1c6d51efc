"""Reading filled sheets back: every rating checked, every problem named by file, row and item."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.ratings import RATED_BY, annotator_of
from unlearnbench.ratings.human.scale import HIGHEST, LOWEST
from unlearnbench.ratings.human.spreadsheets import read_table


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

    def only(self, items: Collection[str]) -> "Filled":
        """The scores and problems of those items."""
        scores = {item: score for item, score in self.scores.items() if item in items}
        problems = tuple(problem for problem in self.problems if problem.item in items)
        return replace(self, scores=scores, problems=problems)


def named_files(given: Iterable[str]) -> dict[str, Path]:
    """Files by annotator: 'anna=FILE', or the file's own name ('ratings-anna.csv' is anna's).

    Raises `UserError` if two files are the same annotator's, or one is nobody's.
    """
    return _by_annotator(map(_named_file, given))


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, rest = text.partition("=")
    # A file may have an equals sign in its own name.
    if equals and not Path(text).exists():
        return name.strip(), Path(rest)
    return annotator_of(Path(text)), Path(text)


def files_in(folder: Path) -> dict[str, Path]:
    """The tables in a folder by annotator; raises `UserError` if two are the same one's."""
    return _by_annotator((annotator_of(path), path) for path in sorted(folder.glob("*.csv")))


def _by_annotator(given: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for annotator, path in given:
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
        what = _wrong_item(item, items, seen) or _wrong_score(text)
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


def _wrong_item(item: str, items: Collection[str], seen: Mapping[str, int]) -> str | None:
    if not item:
        return "a row without an item id"
    if item in seen:
        return f"there already in row {seen[item]}"
    return None if item in items else "not in the key; is it another study's sheet?"


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


# Three digits behind a sign may be thousands: 3,000.
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:[.,][0-9]{1,2})?", re.ASCII)


def number_in(text: str) -> float | None:
    """The number that a spreadsheet's field shows, '3', '3.0' or '3,0'; None if it is none."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None
