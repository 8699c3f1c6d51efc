"""Where numbers are made: versions, the checkout, generators, and what plugins may change."""

import logging
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from threading import RLock
from typing import Any

import unlearnbench
from unlearnbench.files.software import package_versions
from unlearnbench.results.record import Environment
from unlearnbench.running.progress import logger

Undo = Callable[[], object]


def describe_environment() -> Environment:
    """This process's environment; names no host, user or folder."""
    import torch

    commit, dirty = _checkout()
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=package_versions(),
        git_commit=commit,
        git_dirty=dirty,
        n_threads=torch.get_num_threads(),
    )


def fix_randomness(seed: int, threads: int) -> None:
    """Bring the process to one state, whatever ran in it before: threads and generators."""
    import random

    import numpy as np
    import torch

    torch.set_num_threads(threads)
    random.seed(seed)
    np.random.seed(seed)  # libraries draw from the old global generator
    torch.manual_seed(seed)
    # Operations without a deterministic form on a GPU say so once instead of failing the cell.
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory costs time and changes no number.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - unknown to mypy
    torch.backends.cudnn.benchmark = False


_TURNS = RLock()


@contextmanager
def randomness_put_back() -> Iterator[None]:
    """Whatever happens inside, put back what `fix_randomness` changes: for a caller's own process.

    Python's, NumPy's and torch's generators, those of GPUs too, and torch's threads and flags.
    All of them are the process's, so threads take turns.
    """
    import torch

    with _TURNS, _put_back_after(_of_randomness()), torch.random.fork_rng():
        yield


@contextmanager
def put_back_after() -> Iterator[None]:
    """Whatever happens inside, put back the process's state: for calls of third parties' code.

    The folder, the environment variables, the standard streams, the signals, the log and
    torch's defaults.  Not what was patched into modules: nobody can know that.
    """
    with _put_back_after([*_of_the_system(), *_of_python(), *_of_torch()]):
        yield


@contextmanager
def _put_back_after(undo: Iterable[Undo]) -> Iterator[None]:
    steps = list(undo)
    try:
        yield
    finally:
        for step in steps:
            step()


def _of_randomness() -> Iterator[Undo]:
    import random

    import numpy as np
    import torch

    yield partial(random.setstate, random.getstate())
    yield partial(np.random.set_state, np.random.get_state())
    yield partial(torch.set_num_threads, torch.get_num_threads())
    yield partial(
        torch.use_deterministic_algorithms,
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fills: Any = torch.utils.deterministic
    for owner, name in ((fills, "fill_uninitialized_memory"), (torch.backends.cudnn, "benchmark")):
        yield partial(setattr, owner, name, getattr(owner, name))


def _of_the_system() -> Iterator[Undo]:
    folder, variables = os.open(".", os.O_RDONLY | os.O_CLOEXEC), dict(os.environ)

    def go_back() -> None:
        os.fchdir(folder)
        os.close(folder)

    def set_again() -> None:
        if dict(os.environ) != variables:
            os.environ.clear()
            os.environ.update(variables)

    yield go_back
    yield set_again
    # Only the main thread may set a signal's handler.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if (handler := signal.getsignal(number)) is not None:  # None: set by C code
                yield partial(signal.signal, number, handler)


def _of_python() -> Iterator[Undo]:
    for name in ("stdin", "stdout", "stderr"):
        yield partial(setattr, sys, name, getattr(sys, name))
    yield partial(sys.setrecursionlimit, sys.getrecursionlimit())
    yield partial(logging.disable, logging.root.manager.disable)
    for name in ("level", "disabled", "propagate"):
        yield partial(setattr, logger, name, getattr(logger, name))
    yield partial(logger.handlers.__setitem__, slice(None), list(logger.handlers))


def _of_torch() -> Iterator[Undo]:
    import torch

    yield partial(torch.set_default_dtype, torch.get_default_dtype())
    yield partial(torch.set_grad_enabled, torch.is_grad_enabled())
    yield partial(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    device = torch.get_default_device()

    def set_device() -> None:
        # Setting it, even to what it is, makes every later call slower.
        if torch.get_default_device() != device:
            torch.set_default_device(device)

    yield set_device


@cache
def _checkout() -> tuple[str | None, bool | None]:
    folder = Path(unlearnbench.__file__).resolve().parent.parent
    # An installed package may lie inside somebody else's repository; that one says nothing.
    if not (folder / ".git").exists():
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain")
    return commit, None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
