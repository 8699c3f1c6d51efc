"""Where a model runs and in which precision: the one rule for both."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    import torch

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def choose_device(requested: str) -> tuple[str, str]:
    """The device, and its kind and name for the record; raises `UserError` if it is not there.

    'auto' is a CUDA device if there is one, else the CPU; 'mps' is taken when asked for.
    """
    if requested == "cpu" or (requested == "auto" and not _may_have_gpu()):
        return "cpu", "cpu"
    import torch

    if requested == "auto" and not torch.cuda.is_available():
        return "cpu", "cpu"
    name = "cuda" if requested == "auto" else requested
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # each of a launcher's processes has its own
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        if device.type == "cuda":
            # Asked without using it: a GPU may allow one process only, and that is the cell's.
            return name, f"cuda {torch.cuda.get_device_name(device)}"
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise UserError(f"device '{requested}' is not available here; take --device cpu") from error
    return name, device.type


def _may_have_gpu() -> bool:
    """Whether to ask torch, which takes seconds to load: not on a Linux without a GPU's driver."""
    if sys.platform != "linux" or "torch" in sys.modules:
        return True
    # A GPU's device file may come with its first use; its driver is there before.
    if any(Path(place).exists() for place in ("/proc/driver/nvidia", "/sys/module/nvidia")):
        return True
    drivers = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "dxg", "kfd")  # CUDA, Jetson, WSL, ROCm
    return any(any(Path("/dev").glob(driver)) for driver in drivers)


def choose_dtype(requested: Dtype) -> str:
    """The parameters' precision: float32 unless another is asked for, on every device.

    Adam works on the parameters as they are.  In 16 bits an update under a weight's
    resolution (2^-8 of it in bfloat16) is lost, and at 5e-6 most updates are.
    """
    return "float32" if requested == "auto" else requested


def make_current(device: "torch.device") -> None:
    """Let 'cuda' mean this GPU: what takes the default device then trains where the model is.

    Under a launcher of several processes each has its own GPU already.
    """
    if device.type == "cuda" and "LOCAL_RANK" not in os.environ:
        import torch

        torch.cuda.set_device(device)


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
