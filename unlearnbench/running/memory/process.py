"""What is free on a device, and how a process gives memory back to the system."""

import ctypes
import ctypes.util
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell

_M_MMAP_THRESHOLD = -3  # glibc's number for it in mallopt(3)
_LARGE = 1 << 20
# Smaller networks have blocks of about that size, and would spend much of their time asking anew.
_N_PARAMETERS = 10**7  # from which on a cell does so


def keep_small(cell: "Cell") -> None:
    """Called as a cell begins: the process shall not keep what a large network has let go.

    The C library is to give blocks of 1 MiB and more back at once.  By itself glibc keeps those
    of up to 32 MiB for later, and they come to lie between others: the process of a model of 46
    million parameters then held 3.8 GB at its peak instead of 2.7.
    """
    if cell.model.n_parameters >= _N_PARAMETERS and sys.platform.startswith("linux"):
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(ctypes.util.find_library("c")).mallopt(_M_MMAP_THRESHOLD, _LARGE)


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
    sizes = dict(line.split() for line in lines)
    return int(sizes.get("inactive_file", sizes.get("total_inactive_file", 0)))
