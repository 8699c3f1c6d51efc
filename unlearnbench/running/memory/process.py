"""Large blocks that go back to the system as soon as they are free."""

import ctypes
import ctypes.util
import sys
from typing import TYPE_CHECKING

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
