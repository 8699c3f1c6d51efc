"""What of a process a plugin may change, and everything after it would suffer from."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from unlearnbench.running.progress import logger

Undo = Callable[[], object]


@contextmanager
def put_back_after() -> Iterator[None]:
    """Whatever happens inside, put back the process's state: for calls of third parties' code.

    The folder, the environment variables, the standard streams, the signals, the log and
    torch's defaults.  Not what was patched into modules: nobody can know that.
    """
    undo = [*_of_the_system(), *_of_python(), *_of_torch()]
    try:
        yield
    finally:
        for one in undo:
            one()


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
                yield _setter(signal.signal, number, handler)


def _of_python() -> Iterator[Undo]:
    for name in ("stdin", "stdout", "stderr"):
        yield _setter(setattr, sys, name, getattr(sys, name))
    yield _setter(sys.setrecursionlimit, sys.getrecursionlimit())
    yield _setter(logging.disable, logging.root.manager.disable)
    for name in ("level", "disabled", "propagate"):
        yield _setter(setattr, logger, name, getattr(logger, name))
    yield _setter(logger.handlers.__setitem__, slice(None), list(logger.handlers))


def _of_torch() -> Iterator[Undo]:
    import torch

    yield _setter(torch.set_default_dtype, torch.get_default_dtype())
    yield _setter(torch.set_grad_enabled, torch.is_grad_enabled())
    yield _setter(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    device = torch.get_default_device()

    def set_device() -> None:
        # Setting it, even to what it is, makes every later call slower.
        if torch.get_default_device() != device:
            torch.set_default_device(device)

    yield set_device


def _setter(set_it: Callable[..., object], *values: Any) -> Undo:
    return lambda: set_it(*values)
