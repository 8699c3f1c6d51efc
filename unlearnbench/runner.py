"""Runs cells, in this process or several, and stores each as soon as it is done."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from logging.handlers import QueueHandler, QueueListener
from multiprocessing.queues import Queue
from pathlib import Path

from unlearnbench.cell import Cell
from unlearnbench.cell_run import Finished, run_cell
from unlearnbench.progress import Progress, logger, progress
from unlearnbench.result import Result
from unlearnbench.store import Damage, Store


@dataclass
class Outcome:
    """What became of a grid: the results by key, and the cells without one."""

    results: dict[str, Result] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)  # key -> why there is no result
    n_cached: int = 0

    @property
    def n_failed(self) -> int:
        """Cells that failed or left no result."""
        return len(self.lost) + sum(r.status == "failed" for r in self.results.values())


def run_grid(
    cells: Sequence[Cell], store: Store, workers: int = 1, plugins: Sequence[str] = ()
) -> Outcome:
    """Run what is missing or failed; every result is on disk before the next one is awaited."""
    outcome = Outcome()
    missing = _load_finished(cells, store, outcome)
    with progress(len(missing)) as told, contextlib.redirect_stdout(sys.stderr):
        for cell, finished in _finish(missing, workers, plugins, told):
            if isinstance(finished, str):
                outcome.lost[cell.key] = finished
                told.finish(cell.title, finished)
                continue
            store.save(finished.result)
            if finished.traceback:
                store.save_log(cell.key, finished.traceback)
            outcome.results[cell.key] = finished.result
            told.finish(cell.title, finished.summary)
    return outcome


def is_first_process() -> bool:
    """Whether this is the only process of a run, or the first that `accelerate launch` started."""
    return int(os.environ.get("RANK", "0")) == 0


def run_beside(cells: Sequence[Cell], store: Store) -> None:
    """Take part in the training of every missing cell; the first process keeps the results."""
    missing = [cell for cell in cells if not is_finished(store.load(cell.key))]
    for cell in missing:
        run_cell(cell)


def is_finished(found: Result | Damage | None) -> bool:
    """Whether a stored result needs no other run."""
    return isinstance(found, Result) and found.status != "failed"


def _load_finished(cells: Sequence[Cell], store: Store, outcome: Outcome) -> list[Cell]:
    missing = []
    for cell in cells:
        found = store.load(cell.key)
        if isinstance(found, Result) and is_finished(found):
            outcome.results[cell.key] = found
            outcome.n_cached += 1
            continue
        if isinstance(found, Damage):
            print(f"unlearnbench: {found.path}: {found.reason}; measured again", file=sys.stderr)
        missing.append(cell)
    return missing


Finishing = Iterator[tuple[Cell, Finished | str]]


def _finish(
    cells: Sequence[Cell], workers: int, plugins: Sequence[str], told: Progress
) -> Finishing:
    if workers <= 1 or len(cells) <= 1:
        for cell in cells:
            told.start(cell.title)
            yield cell, run_cell(cell)
    else:
        yield from _finish_in_parallel(cells, min(workers, len(cells)), plugins)


def _finish_in_parallel(cells: Sequence[Cell], workers: int, plugins: Sequence[str]) -> Finishing:
    """The cells, several at a time; those that a dying worker left without a result one by one.

    When a worker dies, its pool loses every cell that was running or waiting, and
    nobody can say which of them was the cause.  A pool of one worker takes them in
    order: the first without a result is the cause and the only one lost.
    """
    left = yield from _finish_in_pool(cells, workers, plugins)
    while left:
        logger.warning("a worker process died; %d cells go on one at a time", len(left))
        left = yield from _finish_in_pool(left, 1, plugins)
        if left:
            yield left[0], "its worker process died, perhaps out of memory"
            left = left[1:]


def _finish_in_pool(
    cells: Sequence[Cell], workers: int, plugins: Sequence[str]
) -> Generator[tuple[Cell, Finished | str], None, list[Cell]]:
    """Yield the cells with a result; return those that a worker's death left without, in order."""
    import multiprocessing

    # A forked child would inherit torch's threads in a broken state.
    context = multiprocessing.get_context("spawn")
    talk = context.Queue()
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (tuple(plugins), talk))
    listener = QueueListener(talk, *logger.handlers)
    listener.start()
    try:
        futures: dict[Future[Finished], Cell] = {pool.submit(run_cell, c): c for c in cells}
        for future in as_completed(futures):
            if not isinstance(future.exception(), BrokenProcessPool):
                yield futures[future], future.result()
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        listener.stop()
    return [c for f, c in futures.items() if isinstance(f.exception(), BrokenProcessPool)]


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.kill()


def _begin_worker(plugins: Sequence[str], talk: "Queue[logging.LogRecord]") -> None:
    """Set a worker process up: it talks on stderr only and ends when its parent does."""
    from unlearnbench.registry import load_plugin_file

    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    _end_with_parent()
    logger.addHandler(QueueHandler(talk))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for plugin in plugins:
        load_plugin_file(Path(plugin))


def _end_with_parent(end: Callable[[int], object] = os._exit) -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        end(1)

    threading.Thread(target=watch, daemon=True).start()
