"""Where numbers are made: versions, threads, and the state of the checkout."""

import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

import unlearnbench
from unlearnbench.files.software import package_versions
from unlearnbench.results.record import Environment


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
    import random

    import numpy as np
    import torch

    with _TURNS:
        python, numpy_state = random.getstate(), np.random.get_state()
        threads = torch.get_num_threads()
        deterministic = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        fills: Any = torch.utils.deterministic
        fills_memory, benchmark = fills.fill_uninitialized_memory, torch.backends.cudnn.benchmark
        try:
            with torch.random.fork_rng():
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            fills.fill_uninitialized_memory = fills_memory
            torch.backends.cudnn.benchmark = benchmark


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
