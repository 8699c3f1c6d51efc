"""Which results of a folder are trials of tuning, and what was searched: OUT/tuning/*.json.

A cell of a search may be requested by a run as well, before or afterwards (OUT/runs/*.json): then
it is a row of the table, too.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from unlearnbench.files.strict_json import canonical, first_error, parsed
from unlearnbench.files.whole_files import read_regular, write_whole
from unlearnbench.results.record import Record, Result, question_in

FOLDER, RUNS = "tuning", "runs"
Sampler = Literal["grid", "random", "tpe"]


class TuningRecord(Record):
    """One method's search: its configurations in the order in which they are tried."""

    method: str = Field(description="registered name, with its wrappers")
    model: str
    forget_set: str
    run: str
    score: str = Field(description="of --score; empty: the rule of the stop line")
    sampler: Sampler
    seed: int | None = Field(description="of the draws; null for a grid")
    space: dict[str, str] = Field(description="by setting, as --space writes it")
    n: int = Field(ge=1, description="configurations requested")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="of the method, those that were not searched"
    )
    conditions: str = Field(
        default="", description="sha256 of all that its trials ask alike, settings among it"
    )
    trials: list[str] = Field(
        description="sha256 of what each cell asks, whatever software answers it"
    )


def question_sha256(identity: Mapping[str, Any]) -> str:
    """Digest of what a cell asks, by which a trial is found again."""
    return hashlib.sha256(question_in(dict(identity)).encode()).hexdigest()


def shared_by(identity: Mapping[str, Any], searched: Iterable[str]) -> tuple[dict[str, Any], str]:
    """What a trial has in common with all others of its search: settings, digest of everything.

    Other software asks the same.
    """
    method = identity["method"]
    settings = {n: value for n, value in method["settings"].items() if n not in set(searched)}
    requested = {**identity, "method": {**method, "settings": settings}}
    return settings, question_sha256(requested)


def keep(folder: Path, record: TuningRecord) -> Path:
    """Write the record of a search; one that goes on, or asks for less, loses no trial."""
    what = record.model_dump(exclude={"trials", "n"})
    name = hashlib.sha256(canonical(what).encode()).hexdigest()[:12]
    path = folder / FOLDER / f"{record.method}.{name}.json"
    before = _read(path) if path.exists() else None
    if isinstance(before, TuningRecord):
        trials = list(dict.fromkeys([*before.trials, *record.trials]))
        record = record.model_copy(update={"trials": trials, "n": max(before.n, record.n)})
    write_whole(path, record.model_dump_json(indent=1) + "\n", "choose another --out")
    return path


class RequestedRecord(Record):
    """What one run requested."""

    cells: list[str] = Field(description="as `TuningRecord.trials`")


def record_requested(folder: Path, identities: Iterable[Mapping[str, Any]]) -> None:
    """Write which cells a run asks for; the same ones are kept once."""
    text = RequestedRecord(cells=sorted(map(question_sha256, identities))).model_dump_json(indent=1)
    path = folder / RUNS / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    if not path.exists():
        write_whole(path, text + "\n", "choose another --out")


@dataclass(frozen=True)
class Tunings:
    """The searches of a results folder."""

    records: tuple[TuningRecord, ...] = ()
    damages: tuple[str, ...] = ()  # a sentence per file that is no record
    requested: frozenset[str] = frozenset()  # what runs requested, as `TuningRecord.trials`

    def apart(self, results: Sequence[Result]) -> tuple[list[Result], list[Result]]:
        """The results that are no mere trials, and the trials in the order of the searches.

        A trial that a run requested, too, is in both.
        """
        order = [question for record in self.records for question in record.trials]
        places = {question: place for place, question in reversed(list(enumerate(order)))}
        requested = {r.key: question_sha256(r.identity) for r in results} if order else {}
        trials = [r for r in results if requested.get(r.key) in places]
        mere = places.keys() - self.requested
        return [r for r in results if requested.get(r.key) not in mere], sorted(
            trials, key=lambda r: places[requested[r.key]]
        )

    @property
    def score(self) -> str:
        """What the searches judged by, if all by the same score; empty for the stop line's rule."""
        scores = {record.score for record in self.records}
        return scores.pop() if len(scores) == 1 else ""


def read_tunings(folder: Path) -> Tunings:
    """The searches that were made into a folder."""
    read = [_read(path) for path in sorted((folder / FOLDER).glob("*.json"))]
    records = tuple(one for one in read if isinstance(one, TuningRecord))
    if records:  # else nothing depends on what runs requested
        read += [_read(path, RequestedRecord) for path in sorted((folder / RUNS).glob("*.json"))]
    requested = (cell for one in read if isinstance(one, RequestedRecord) for cell in one.cells)
    return Tunings(
        records, tuple(one for one in read if isinstance(one, str)), frozenset(requested)
    )


def _read(path: Path, kind: type[Record] = TuningRecord) -> Record | str:
    """The record in a file, or what is wrong with it."""
    try:
        return kind.model_validate(parsed(read_regular(path)), strict=True)
    except ValueError as error:
        return f"{path}: damaged: {first_error(error)}"
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
