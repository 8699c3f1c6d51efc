"""How much memory there is: of the GPU, or of this machine within its container's limit."""

import os
from dataclasses import dataclass
from pathlib import Path

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
