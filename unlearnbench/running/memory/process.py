"""Large blocks that go back to the system as soon as they are free."""

import ctypes
import ctypes.util
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.files.cache import cache_root, write_atomically
from unlearnbench.files.software import package_versions
from unlearnbench.files.strict_json import canonical

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell

_M_MMAP_THRESHOLD = -3  # glibc's number for it in mallopt(3)
_LARGE = 1 << 20
# Smaller networks have blocks of about that size, and would spend much of their time asking anew.
_N_PARAMETERS = 10**7


def returns_large_blocks(n_parameters: int) -> bool:
    """Whether a cell with such a network gives large blocks back as soon as they are free."""
    return sys.platform.startswith("linux") and n_parameters >= _N_PARAMETERS


def keep_small(cell: "Cell") -> None:
    """Called as a cell begins: the process shall not keep what a large network has let go."""
    if returns_large_blocks(cell.model.n_parameters):
        return_large_blocks()


def return_large_blocks() -> bool:
    """Let the C library give blocks of 1 MiB and more back at once; false if it cannot be told.

    By itself glibc keeps blocks of up to 32 MiB for later, and they come to lie between
    others: the process of a model of 46 million parameters then held
    3.8 GB at its peak instead of 2.7.  What is computed does not change.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(ctypes.util.find_library("c")).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE))


# Used when no process can be started to measure it: torch, transformers and the scorers.
_USUAL = 600 * 10**6


# Imports what a cell imports, and takes one step, so that the kernels' pages are there too.
_PROBE = """
import json, importlib, sys
from unlearnbench.models.devices.meter import peak_memory_bytes
for name in sys.argv[1].split(","):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
import torch
torch.set_num_threads(1)
layer = torch.nn.Linear(64, 64)
layer(torch.ones(64, 64)).log_softmax(-1).sum().backward()
torch.optim.Adam(layer.parameters()).step()
print(json.dumps(peak_memory_bytes()))
"""


_EVERY_CELL = (
    "transformers.models.gpt_neo.modeling_gpt_neo",
    "accelerate",
    "bert_score",
    "sacrebleu",
    "sentence_transformers",
    "faiss",
    "unlearnbench.running.cell_run",
)


@cache
def libraries_bytes(*more: str) -> int:
    """Resident bytes of a process that has imported what a cell needs, and `more` modules.

    Measured in a process of its own, some seconds long, and kept in the cache folder
    until a package changes.
    """
    modules = (*_EVERY_CELL, *more)
    key = hashlib.sha256(canonical([_PROBE, modules, package_versions()]).encode()).hexdigest()
    path = cache_root() / "libraries" / f"{key}.json"
    try:
        return int(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        found = _measured(modules)
    if found is None:
        return _USUAL
    write_atomically(path, json.dumps(found).encode())
    return found


def _measured(modules: tuple[str, ...]) -> int | None:
    command = [sys.executable, "-c", _PROBE, ",".join(modules)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True, env=environment
        )
        return int(json.loads(done.stdout.strip().splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Available:
    """Memory that a run may take."""

    n_bytes: int
    of: str  # 'RAM', or the GPU's name


def available(device: str) -> Available:
    """What is free now on a device ('cpu', 'cuda', 'cuda:1', 'mps')."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(torch.device(device))
        return Available(free, torch.cuda.get_device_name(torch.device(device)))
    return Available(min(_free_ram(), _left_in_container()), "RAM")


def _free_ram() -> int:
    """What could be taken without swapping; the physical memory where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kilobytes) * 1024
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_in_container() -> int:
    """What a container's limit leaves; no limit is more than any machine has."""
    for limit, used in (
        (_CGROUP / "memory.max", _CGROUP / "memory.current"),
        (_CGROUP / "memory/memory.limit_in_bytes", _CGROUP / "memory/memory.usage_in_bytes"),
    ):
        try:
            return max(
                int(limit.read_text()) - int(used.read_text()) + _page_cache(limit.parent), 0
            )
        except (OSError, ValueError):  # no such file, or 'max'
            continue
    return 1 << 62


def _page_cache(folder: Path) -> int:
    """Bytes of files kept in memory, which count as used and are given up when needed."""
    lines = (folder / "memory.stat").read_text().splitlines()
    found = dict(line.split() for line in lines)
    return int(found.get("inactive_file", found.get("total_inactive_file", 0)))
