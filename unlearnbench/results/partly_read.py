"""A result whose longest parts are read from its file when somebody asks for them.

Texts and rows of the trace are nine tenths of a result and no table looks at them, so
thousands of results fit in memory without.  `StoredResult` is a `Result` in every other way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from unlearnbench.errors import UserError
from unlearnbench.results.record import ForgetSetRecord, Result
from unlearnbench.results.result_file import Damage, Stamp, read_file
from unlearnbench.results.score import Score
from unlearnbench.results.trace import EpochRecord, UnlearnTrace

# Enough for the rows of a large table side by side, little enough on a walk over thousands.
N_KEPT_IN_FULL = 128

Outcomes = dict[str, dict[str, dict[str, float]]]  # task -> metric -> doc_id -> outcome
Place = tuple[
    Any, ...
]  # names and indices from a result to one of its records: ("scores", task, metric)


@dataclass(frozen=True)
class Rest:
    """Where the parts of a result are that nobody has asked for yet."""

    path: Path
    stamp: Stamp
    packed_outcomes: bytes

    def in_full(self) -> Result:
        """The whole result; raises `UserError` if the file is no longer the one that was read."""
        return _read_again(self.path, self.stamp)

    @cached_property
    def outcomes(self) -> Outcomes:
        """Every score's per-document outcomes; kept, as statistics go through them many times."""
        from unlearnbench.results.entry import unpacked

        return unpacked(self.packed_outcomes)


@lru_cache(N_KEPT_IN_FULL)
def _read_again(path: Path, stamp: Stamp) -> Result:
    found = read_file(path)
    if isinstance(found, Damage) or found.stamp != stamp:
        raise UserError(f"{path} changed while it was being reported; run the same command again")
    return found.result


class PartlyRead(BaseModel):
    """A record some of whose fields are looked up, elsewhere, when they are asked for."""

    complete: ClassVar[type[BaseModel]]  # the same record with all its fields
    later: ClassVar[tuple[str, ...]] = ()  # the fields

    if not TYPE_CHECKING:  # else every misspelt attribute would look right to a type checker

        def __getattr__(self, name: str) -> Any:
            """Called for what is not there: a later field, or a mistake."""
            if name in type(self).later and "_rest" in self.__dict__:
                return self._look_up(name, *self.__dict__["_rest"])
            return super().__getattr__(name)

    def leave(self, rest: Rest, place: Place) -> None:
        """Forget the later fields: `rest` has them, for a record in that place of the result."""
        fields = self.__dict__
        for name in self.later:
            del fields[name]
        fields["_rest"] = rest, place  # no field, so no part of a dump or a comparison

    def in_full(self) -> BaseModel:
        """The ordinary record, with everything in it."""
        fields = {name: _in_full(getattr(self, name)) for name in self.complete.model_fields}
        return self.complete.model_construct(**fields)

    def model_dump(self, *args: Any, **options: Any) -> dict[str, Any]:
        """As the ordinary record's."""
        return self.in_full().model_dump(*args, **options)

    def model_dump_json(self, *args: Any, **options: Any) -> str:
        """As the ordinary record's."""
        return self.in_full().model_dump_json(*args, **options)

    def __eq__(self, other: object) -> bool:
        """Equal to a record with the same fields, wherever they are."""
        return self.in_full() == _in_full(other)

    __hash__ = None  # type: ignore[assignment]  # as every record that can change

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        """Names and values, the later ones included."""
        return iter((name, getattr(self, name)) for name in self.complete.model_fields)

    def _look_up(self, name: str, rest: Rest, place: Place) -> Any:
        """A later field: by default that of the record in the same place of the whole result."""
        record: Any = rest.in_full()
        for step in place:
            record = record[step] if isinstance(record, dict | list) else getattr(record, step)
        return getattr(record, name)


class StoredScore(PartlyRead, Score):
    """A score; its documents and outputs come later."""

    complete, later = Score, ("documents", "outputs")

    def _look_up(self, name: str, rest: Rest, place: Place) -> Any:
        if name != "documents":
            return super()._look_up(name, rest, place)
        _, task, metric = place  # ("scores", task, metric)
        documents = self.__dict__["documents"] = rest.outcomes[task][metric]
        return documents


class StoredForgetSet(PartlyRead, ForgetSetRecord):
    """The forget set; its texts come later."""

    complete, later = ForgetSetRecord, ("prefixes", "suffixes")


class StoredEpoch(PartlyRead, EpochRecord):
    """An epoch; its rows come later."""

    complete, later = EpochRecord, ("rows",)


class StoredTrace(PartlyRead, UnlearnTrace):
    """The trace of such epochs."""

    complete = UnlearnTrace
    epochs: list[StoredEpoch]  # type: ignore[assignment]


class StoredResult(PartlyRead, Result):
    """A result that was read from a folder, but for its longest parts."""

    complete, later = Result, ("continuations",)
    forget_set: StoredForgetSet
    scores: dict[str, dict[str, StoredScore]]  # type: ignore[assignment]
    trace: StoredTrace | None = None

    def leave_to(self, rest: Rest) -> None:
        """Forget every part's later fields: `rest` has them."""
        self.leave(rest, ())
        self.forget_set.leave(rest, ("forget_set",))
        for task, by_metric in self.scores.items():
            for metric, score in by_metric.items():
                score.leave(rest, ("scores", task, metric))
        for index, epoch in enumerate(self.trace.epochs if self.trace else ()):
            epoch.leave(rest, ("trace", "epochs", index))


def _in_full(value: Any) -> Any:
    if isinstance(value, PartlyRead):
        return value.in_full()
    if isinstance(value, dict):
        return {name: _in_full(part) for name, part in value.items()}
    return [_in_full(part) for part in value] if isinstance(value, list) else value
