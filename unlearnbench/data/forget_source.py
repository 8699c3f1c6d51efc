"""What a source of forget sets is: known before any model, read for one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError, unknown

if TYPE_CHECKING:
    from unlearnbench.data.rows import Rows


@dataclass(frozen=True)
class ForgetRequest:
    """What a user says about the forget sets: the command line's options as they are written."""

    forget_set: (
        str  # a world's name, a folder, a file, or hf:owner/name[:config][:split][@revision]
    )
    runs: tuple[str, ...] = ()  # names or doc-id CSV files; empty: all but 'tuning'
    rows: str | None = None  # folder of the extraction benchmark's .npy files
    pool: str | None = None  # text file or .npy folder to draw analogues from
    unseen: str | None = None  # text file or .npy folder the model never saw
    refusals: str | None = None  # one "don't know" answer per line


@dataclass(frozen=True)
class RowsOfRun:
    """What a source holds for one run, not yet tokenised."""

    targets: "Rows"
    pool: "Rows | None"


class ForgetSource(ABC):
    """A place with one or more forget sets.  Making one loads no model and no torch."""

    name: str  # folder, file or data set: 'pile_extraction'
    runs: tuple[str, ...]  # those asked for, or all but 'tuning'
    refusals: tuple[str, ...] = ()
    is_synthetic: bool = False  # of a world that comes with the package

    @abstractmethod
    def sha256(self, run: str) -> str:
        """Digest of every file that takes part in a run: doc ids, rows, pool, refusals, unseen."""

    @abstractmethod
    def title(self, run: str) -> str:
        """Source and file of a run: 'pile_extraction/lm_extraction_128_0'."""

    @abstractmethod
    def read(self, run: str, limit: int | None = None) -> RowsOfRun:
        """The targets in the source's order (the first `limit`), and what may be their pool."""

    @abstractmethod
    def unseen(self) -> "Rows | None":
        """Rows that the model never saw, to calibrate the stop line on; None if there are none."""


def choose_runs(asked: tuple[str, ...], there: tuple[str, ...], source: str) -> tuple[str, ...]:
    """The runs asked for, or all but 'tuning'; raises `UserError` for one that is not there."""
    for run in asked:
        if run not in there:
            raise unknown("run", run, there, f"--runs {','.join(there)} (those of {source})")
    return asked or tuple(run for run in there if run != "tuning") or there


def run_order(run: str) -> tuple[int, int, str]:
    """Sort key: numbers by value, then names."""
    return (0, int(run), run) if run.isdecimal() else (1, 0, run)


def read_refusals(given: str | None, beside: Path | None) -> tuple[str, ...]:
    """The "don't know" answers of a file: the one given, else `idontknow.txt` beside the data.

    One per line; blank lines are none.  Raises `UserError` for a file without any: a method
    would otherwise take something else for them.
    """
    from unlearnbench.files.tables import text_of_file

    path = Path(given).expanduser() if given else beside / "idontknow.txt" if beside else None
    if path is None or (given is None and not path.is_file()):
        return ()
    # Not splitlines(): that also breaks at characters that may stand in a sentence.
    answers = tuple(line.strip() for line in text_of_file(path).split("\n") if line.strip())
    if not answers:
        raise UserError(f"{path} holds no answer; write one per line, or give another: --refusals")
    return answers
