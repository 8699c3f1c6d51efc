"""Boards of benchmarks: what others publish of other models, one CSV each beside this file.

A file is named board-NAME.csv.  Lines with '#' say which benchmarks it is of, its title, licence
and notes; a row is of one split, model and method.  A value is kept as it is printed; columns have
the names of the metrics here, as shares where those are shares.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from unlearnbench.analysis.derived.ks import ks_p_value

FOLDER = Path(__file__).parent
_ROW = ("split", "model", "method")
_ASIDE = ("checkpoint", "configurations", "mark")  # what a row says of itself
#: Questions to forget, whose number decides which p-values there can be.
N_FORGET = {"forget01": 40, "forget05": 200, "forget10": 400}


@dataclass(frozen=True)
class BoardRow:
    """One published row."""

    split: str  # 'forget10', 'news'
    model: str
    method: str
    values: Mapping[str, str]  # by metric, as printed
    checkpoint: str = ""
    configurations: str = ""  # how many it is the best of
    mark: str = ""  # '*': see the board's note

    @property
    def label(self) -> str:
        """'NPO (Llama-3.2-1B-Instruct; best of 18)'."""
        best = f"best of {self.configurations}" if self.configurations else ""
        where = "; ".join(filter(None, (self.model, self.checkpoint, best)))
        return f"{self.method}{self.mark} ({where})"


@dataclass(frozen=True)
class Board:
    """One published board."""

    name: str
    benchmarks: tuple[str, ...]
    title: str
    licence: str
    notes: tuple[str, ...]
    marked: str  # what a row with a mark is
    rows: tuple[BoardRow, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics that any row has, in order."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.values))

    def of(self, benchmark: str, split: str) -> tuple[BoardRow, ...]:
        """The rows of a split; MUSE's are named after the benchmark: 'muse-news'."""
        names = {split.lower(), *benchmark.lower().split("-")}
        return tuple(row for row in self.rows if row.split in names)


@lru_cache
def boards() -> tuple[Board, ...]:
    """Every board there is."""
    return tuple(map(_read, sorted(FOLDER.glob("board-*.csv"))))


def _read(path: Path) -> Board:
    lines = path.read_text(encoding="utf-8").splitlines()
    said = [line[2:].partition(": ")[::2] for line in lines if line.startswith("# ")]
    about = dict(said)
    records = csv.DictReader(line for line in lines if not line.startswith("#"))
    return Board(
        path.stem.removeprefix("board-"),
        tuple(map(str.strip, about["benchmark"].split(","))),
        about["title"],
        about["licence"],
        tuple(text for name, text in said if name == "note"),
        about.get("marked", ""),
        tuple(map(_row, records)),
    )


def _row(record: dict[str, str]) -> BoardRow:
    values = {n: v for n, v in record.items() if v and n not in (*_ROW, *_ASIDE)}
    split, model, method = (record[name] for name in _ROW)
    return BoardRow(split, model, method, values, *(record.get(name, "") for name in _ASIDE))


def distances(p: str, n: int) -> tuple[float, float] | None:
    """The least and greatest D whose exact p over n items is printed so; None if none is."""
    fitting = list(_steps(p, n))
    return (fitting[0] / n, fitting[-1] / n) if fitting else None


def _steps(printed: str, n: int) -> Iterator[int]:
    mantissa, _, exponent = printed.lower().partition("e")
    half_unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2])) / 2
    for k, p in enumerate(_ladder(n)):
        if abs(p - float(printed)) <= half_unit * (1 + 1e-9):
            yield k


@lru_cache
def _ladder(n: int) -> tuple[float, ...]:
    return tuple(ks_p_value(n, k) for k in range(n + 1))
