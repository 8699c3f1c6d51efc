"""Reading many result files, in several processes where that is sooner."""

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from unlearnbench.results.entry import entry_of
from unlearnbench.results.result_file import Damage, read_file
from unlearnbench.results.summary import Summary

FILES_PER_PROCESS = 250  # half a second's work; fewer are not worth a process
FILES_AT_A_TIME = 25
MOST_PROCESSES = 8

Read = tuple[Summary, list[Damage]]


def read_files(paths: Sequence[Path]) -> Read:
    """The entries of those files that are results, and what is wrong with the others, in order."""
    n_processes = min(len(paths) // FILES_PER_PROCESS, len(os.sched_getaffinity(0)), MOST_PROCESSES)
    if n_processes > 1:
        try:
            return _read_in_processes(paths, n_processes)
        except BrokenProcessPool:  # out of memory, perhaps; one process needs less
            pass
    return _read_here(paths)


def _read_here(paths: Sequence[Path]) -> Read:
    summary, damages = Summary(), []
    for path in paths:
        found = read_file(path)
        if not isinstance(found, Damage):
            entry = entry_of(found.result, found.stamp, summary.common)
            summary.entries[path.name] = entry
        elif os.path.lexists(path):  # else it was removed since the folder was looked into
            damages.append(found)
    return summary, damages


def _read_in_processes(paths: Sequence[Path], n_processes: int) -> Read:
    parts = [paths[i : i + FILES_AT_A_TIME] for i in range(0, len(paths), FILES_AT_A_TIME)]
    # Forked: nothing here touches torch, whose threads a fork would break, and a script without
    # a main guard must not run again in every process.
    pool = ProcessPoolExecutor(n_processes, get_context("fork"), _leave_interrupts_to_the_parent)
    summary, damages = Summary(), []
    try:
        for part, damaged in pool.map(_read_here, parts):
            summary.add(part)
            damages += damaged
    finally:
        pool.shutdown(cancel_futures=True)
    return summary, damages


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
