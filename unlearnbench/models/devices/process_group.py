"""torch's groups of the processes that train one cell: for gradients, and for what they tell."""

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from unlearnbench.models.devices.strategy import n_processes

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

# Gradients are exchanged in lockstep, so a partner that is later than this is not coming.
LOCKSTEP_TIMEOUT = timedelta(minutes=10)
# One process may measure a long task while the others have theirs done already.
EXCHANGE_TIMEOUT = timedelta(hours=12)


def start() -> None:
    """Meet the other processes; where there are none, a group of one (DeepSpeed wants one)."""
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if n_processes() > 1:
        dist.init_process_group(backend, timeout=LOCKSTEP_TIMEOUT)
    else:
        store = dist.HashStore()
        dist.init_process_group(
            backend, store=store, rank=0, world_size=1, timeout=LOCKSTEP_TIMEOUT
        )


@cache
def talking_group() -> "ProcessGroup":
    """The group that objects are exchanged in; the default one is for gradients."""
    import torch.distributed as dist

    start()
    group: ProcessGroup = dist.new_group(backend="gloo", timeout=EXCHANGE_TIMEOUT)
    return group
