"""Runs what is missing of a grid by the launcher asked for; stores each result once it is done."""

import contextlib
import logging
import os
import re
import shlex
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.files.safe_text import redact, visible
from unlearnbench.results.record import Result
from unlearnbench.results.store import Damage, Store
from unlearnbench.running.cell_run import lost_result
from unlearnbench.running.launching.launcher import Ended, HowToRun, Launcher, Lost
from unlearnbench.running.memory.advice import out_of_memory_advice
from unlearnbench.running.progress import Preview, Progress, is_due, logger, progress
from unlearnbench.running.token_bounds import forward_tokens

POLL_SECONDS = 1.0


class CellLogs:
    """OUT/logs/<key>.log: what a cell says while it runs, to be followed with `tail -f`.

    A log is a convenience: where it cannot be written, the run goes on without.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, cell: Cell, text: str) -> None:
        """Append text, each line after the time."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{cell.key}.log"
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(f"{now} {line}\n" for line in redact(visible(text)).splitlines())

    def __call__(self, cell: Cell, record: logging.LogRecord) -> None:
        """Keep a record; pass it on to whoever watches the run, unless it came from here."""
        if is_due(record):
            self.write(cell, record.getMessage())
        if record.process != os.getpid() and logger.isEnabledFor(record.levelno):
            logger.handle(record)


@dataclass
class Outcome:
    """What became of a grid: the results by key, failed ones included."""

    results: dict[str, Result] = field(default_factory=dict)
    n_cached: int = 0  # results from before, or of another run in the same folder

    @property
    def n_failed(self) -> int:
        """Cells that failed."""
        return sum(r.status == "failed" for r in self.results.values())


def run_grid(
    cells: Sequence[Cell],
    store: Store,
    how: HowToRun,
    show_progress: bool = True,
    preview: Preview | None = None,
) -> Outcome:
    """Run what is missing or failed of these cells; the results of all.

    Progress is shown on stderr, on a terminal with what `preview` makes of the results so far.
    Raises `UserError` where nothing can be launched, or results cannot be written.
    """
    outcome = Outcome()
    missing = load_finished(cells, store, outcome)
    if missing:
        logs = CellLogs(store.folder / "logs")
        with progress(len(missing), show_progress, preview) as display:
            display.show(outcome.results.values())
            launcher = _launcher(missing, how, logs)
            run = GridRun(store, launcher, display, logs, how.retries)
            run.run(in_order(missing, how), outcome)
    return outcome


def is_finished(stored: Result | Damage | None) -> bool:
    """Whether a stored result needs no other run."""
    return isinstance(stored, Result) and stored.status != "failed"


def has_model(cell: Cell) -> bool:
    """Whether the unlearned model is there, if it is to be kept."""
    return (
        cell.models is None or not cell.must_keep_model or (Path(cell.models) / cell.key).is_dir()
    )


def load_finished(cells: Sequence[Cell], store: Store, outcome: Outcome) -> list[Cell]:
    """Put what is stored already into the outcome; the cells that are missing or failed."""
    missing = []
    for cell in cells:
        stored = store.load(cell.key)
        if isinstance(stored, Result) and is_finished(stored) and has_model(cell):
            outcome.results[cell.key] = stored
            outcome.n_cached += 1
            continue
        if isinstance(stored, Damage):
            print(f"unlearnbench: {stored.path}: {stored.reason}; measured again", file=sys.stderr)
        missing.append(cell)
    return missing


class GridRun:
    """One run over the missing cells of a grid.

    Several of them, here or on other machines, may work on one folder: each cell is
    claimed before it is started, and one that another run has claimed is left to it.
    """

    def __init__(
        self, store: Store, launcher: Launcher, display: Progress, logs: CellLogs, retries: int
    ) -> None:
        self._store, self._launcher, self._progress, self._logs = store, launcher, display, logs
        self._retries = retries
        self._claims = store.claims()
        self._todo: deque[Cell] = deque()
        self._attempts: dict[str, int] = {}  # of the cells that are running
        self._unwritable: UserError | None = None
        self._announced_waiting = False

    def run(self, missing: Sequence[Cell], outcome: Outcome) -> None:
        """Run the cells; every result is on disk before the next one is awaited.

        Raises `UserError` if results cannot be written any more, once what was running
        has ended and is kept elsewhere.
        """
        self._todo.extend(missing)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                while self._todo or self._attempts:
                    self._start_what_fits(outcome)
                    self._wait(outcome)
        finally:
            self._launcher.close()
            self._claims.release_all()
        if self._unwritable is not None:
            raise self._unwritable

    def _start_what_fits(self, outcome: Outcome) -> None:
        for _ in range(len(self._todo)):
            if self._launcher.room() <= 0:
                return
            cell = self._todo.popleft()
            try:
                is_ours = self._claims.take(cell.key)
            except UserError as error:  # a full disk: what is running may still be kept
                self._give_up(error)
                return
            if not is_ours:
                self._todo.append(cell)  # another run has it: look again later
            elif not self._is_done_meanwhile(cell, outcome):
                self._start(cell, 1)

    def _is_done_meanwhile(self, cell: Cell, outcome: Outcome) -> bool:
        """Whether another run has finished the cell since this one looked first."""
        stored = self._store.load(cell.key)
        if not isinstance(stored, Result) or not is_finished(stored) or not has_model(cell):
            return False
        self._keep(cell, stored, outcome)
        outcome.n_cached += 1
        self._progress.finish(cell.title, "done by another run", failed=False)
        return True

    def _start(self, cell: Cell, attempt: int) -> None:
        self._attempts[cell.key] = attempt
        self._logs.write(cell, f"{cell.title}: attempt {attempt}")
        self._progress.start(cell.title)
        self._launcher.start(cell)

    def _wait(self, outcome: Outcome) -> None:
        if not self._attempts and self._todo:
            if not self._announced_waiting:
                self._announced_waiting = True
                logger.info("waiting for %d cells that another run computes", len(self._todo))
            time.sleep(POLL_SECONDS)
        for ended in self._launcher.wait(POLL_SECONDS):
            self._take(ended, outcome)

    def _take(self, ended: Ended, outcome: Outcome) -> None:
        cell, attempt = ended.cell, self._attempts.pop(ended.cell.key)
        if isinstance(ended.outcome, Result):
            result = ended.outcome
        elif ended.outcome.again and attempt <= self._retries and self._unwritable is None:
            logger.warning("%s: %s; it is run again", cell.title, ended.outcome.reason)
            self._start(cell, attempt + 1)
            return
        else:
            result = lost_result(cell, _why_lost(cell, ended.outcome, attempt))
        summary = _summary(result)
        self._logs.write(cell, summary)
        self._progress.finish(cell.title, summary, failed=result.status == "failed")
        self._keep(cell, self._stored(result), outcome)

    def _stored(self, result: Result) -> Result:
        try:
            return self._store.commit(result)
        except UserError as error:
            logger.error("%s; %s", error, rescue(result, self._store.folder))
            self._give_up(error)
            return result

    def _give_up(self, error: UserError) -> None:
        """Start no more: what could not be kept need not be computed."""
        self._unwritable = error
        self._todo.clear()

    def _keep(self, cell: Cell, result: Result, outcome: Outcome) -> None:
        outcome.results[cell.key] = result
        self._claims.release(cell.key)
        self._progress.show(outcome.results.values())


def _summary(result: Result) -> str:
    """The outcome in a few words."""
    if result.status == "failed":
        return f"failed: {result.error}"
    epochs = f", {result.trace.n_epochs} epochs" if result.trace else ""
    return f"{result.status.replace('_', ' ')}{epochs}, {result.seconds:.0f} s"


def _why_lost(cell: Cell, lost: Lost, attempt: int) -> str:
    reason = lost.reason
    if lost.is_killed:  # nobody else kills like that, unless somebody does
        reason = out_of_memory_advice(None, cell) or reason
    return reason if attempt == 1 else f"{reason} ({attempt} attempts)"


def in_order(cells: Sequence[Cell], how: HowToRun) -> Sequence[Cell]:
    """Where several cells go at a time those that may take longest come first.

    So the short ones are left to share out at the end.  By the bound that --dry-run prints,
    times the model's parameters; equal ones stay as they are, but for a model before
    unlearning: what its row needs most of the others have measured by then.
    """
    if how.launcher != "ray" and how.jobs < 2:
        return cells

    def cost(cell: Cell) -> tuple[bool, int, bool]:
        # Attacks, and noise in place of an update, take the models that the others keep.
        tokens = cell.model.n_parameters * forward_tokens(cell)
        return cell.model_key == cell.key, tokens, cell.role != "before"

    return sorted(cells, key=cost, reverse=True)


def _launcher(missing: Sequence[Cell], how: HowToRun, logs: CellLogs) -> Launcher:
    if how.launcher == "ray":
        from unlearnbench.running.launching.ray.cluster import RayCluster

        return RayCluster(how, logs)
    if how.jobs == 0 and how.timeout is not None:
        raise UserError("--cell-timeout needs a process that can be stopped; give --jobs 1 or more")
    # A single cell of ours needs nobody to survive it; a plugin may take its process along.
    if how.jobs == 0 or (len(missing) == 1 and how.timeout is None and not how.plugins):
        from unlearnbench.running.launching.in_process import InProcess

        return InProcess(logs)
    from unlearnbench.running.launching.local_processes import LocalProcesses

    jobs = min(how.jobs, len(missing))
    return LocalProcesses(jobs, logs, how.plugins, how.timeout, _n_gpus(missing))


def _n_gpus(cells: Sequence[Cell]) -> int:
    """The GPUs that worker processes share out; none if a certain one was asked for."""
    if not all(cell.model.device == "cuda" for cell in cells):
        return 0
    import torch

    return torch.cuda.device_count()


def share_of(cells: Sequence[Cell], shard: str | None) -> tuple[Cell, ...]:
    """The cells of shard 'i/n': every n-th from the i-th on; all without a shard.

    The shards of a grid have no cell in common and leave none out, whatever is done
    already.  Raises `UserError` for a text of another form.
    """
    if shard is None:
        return tuple(cells)
    form = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", shard)
    first, count = map(int, form.groups()) if form else (0, 0)
    if not 1 <= first <= count:
        raise UserError(f"--shard {shard!r} is not i/n with i from 1 to n; e.g. --shard 1/4")
    return tuple(cells[first - 1 :: count])


def rescue(result: Result, folder: Path) -> str:
    """Keep a result outside its folder; says where it is and how to put it back, or that it is
    lost."""
    try:
        path = Store(Path(tempfile.mkdtemp(prefix="unlearnbench-"))).save(result)
    except (UserError, OSError) as error:
        return f"the result of {result.label} is lost, it cannot be kept elsewhere either: {error}"
    cells, kept = shlex.quote(str(folder.absolute() / "cells")), shlex.quote(str(path.parent))
    return f"the result is kept in {path.parent}; when there is room: mv {kept}/* {cells}/"
