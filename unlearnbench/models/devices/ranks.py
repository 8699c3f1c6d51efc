"""The processes that train one cell together: what each does alone, and where all must agree.

One process is the rule; everything here then does nothing.  Several are started by
`accelerate launch` or `torchrun`, which tell each of them its rank in the environment.

Whatever they tell each other goes through one exchange, which carries a failure as
well as a value: a process that fails meets the others at their next exchange, all of
them give the cell up, and none waits for ever.
"""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from unlearnbench.errors import UserError
from unlearnbench.models.devices.strategy import n_processes

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup
    from torch.nn import Module, Parameter

T = TypeVar("T")
K = TypeVar("K")

# Gradients are exchanged in lockstep, so a partner that is later than this is not coming.
_LOCKSTEP_TIMEOUT = timedelta(minutes=10)
# One process may measure a long task while the others have theirs done already.
_EXCHANGE_TIMEOUT = timedelta(hours=12)

_alone: ContextVar[bool] = ContextVar("alone", default=False)


class RankFailed(UserError):
    """A process failed, and all of them know; what it said is in the message."""


def world_size() -> int:
    """How many processes work together here; 1 inside `alone`."""
    return 1 if _alone.get() else n_processes()


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes and talks, `alone` or not."""
    return n_processes() == 1 or os.environ["RANK"] == "0"


@contextmanager
def alone() -> Iterator[None]:
    """Within, this process does its own work and asks nobody."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


@contextmanager
def together() -> Iterator[None]:
    """All processes come out of this block well, or all of them with an exception.

    Raises `RankFailed` in a process that is well itself.
    """
    try:
        yield
    except RankFailed:
        raise  # all of them know already
    except KeyboardInterrupt:
        raise  # a terminal interrupts all of them
    except BaseException as error:  # a plugin may even exit
        _exchange(None, error)
        raise
    _values(_exchange(None))


def gathered(make: Callable[[], T]) -> list[T]:
    """What `make` gives in each process, by rank, in all of them.

    Raises its exception, or `RankFailed` where it failed in another process only.
    """
    if world_size() == 1:
        return [make()]
    try:
        value = make()
    except RankFailed:
        raise
    except Exception as error:
        _exchange(None, error)
        raise RankFailed(_in_words(error)) from error
    return _values(_exchange(value))


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, which alone calls it."""
    if world_size() == 1:
        return make()
    parts: list[Any] = gathered(make if rank() == 0 else lambda: None)
    value: T = parts[0]
    return value


def over_ranks(n: int, make: Callable[[list[int]], Sequence[T]]) -> list[T]:
    """[n] one value per row: each process makes those of its own rows, in their order."""
    own = shares(range(n), world_size())[rank()]
    parts = gathered(lambda: make(own) if own else [])
    return [value for part in parts for value in part]


def each_by_one(items: Sequence[K], make: Callable[[K], T]) -> Iterator[tuple[K, T]]:
    """Every item with what `make` gives for it; each is made by one process, for all."""
    if world_size() == 1:
        for item in items:
            yield item, make(item)
        return
    n, own = world_size(), rank()

    def made() -> list[T]:
        with alone():
            return [make(item) for item in items[own::n]]

    parts = gathered(made)
    for number, item in enumerate(items):
        yield item, parts[number % n][number // n]


def shares(rows: Sequence[int], n: int) -> list[list[int]]:
    """The rows in n parts of equal size, or one more in the first ones; some may be empty."""
    size, more = divmod(len(rows), n)
    ends = [(i + 1) * size + min(i + 1, more) for i in range(n)]
    return [list(rows[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def summed(make: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The sums of all processes' numbers by name, added in the same order everywhere."""
    return sum_by_name(gathered(make))


def sum_by_name(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    """The sums of numbers of one name."""
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def sum_gradients(parameters: "Iterable[Parameter]") -> None:
    """Add up every parameter's gradient over the processes, in place."""
    sum_in_place([p.grad for p in parameters if p.grad is not None])


def sum_in_place(tensors: "Sequence[Tensor]") -> None:
    """Add up each tensor over the processes; all of them have the same ones in the same order."""
    if world_size() == 1:
        return
    import torch.distributed as dist

    start()
    for one in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
        one.wait()


def same_weights(network: "Module") -> None:
    """Give every process the first one's weights, whatever a method did in each."""
    if world_size() == 1:
        return
    import torch.distributed as dist

    start()
    for parameter in network.parameters():
        dist.broadcast(parameter.data, src=0)


def start() -> None:
    """Meet the other processes; where there are none, a group of one (DeepSpeed wants one)."""
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    own: dict[str, Any] = {}
    if n_processes() == 1:
        own = {"store": dist.HashStore(), "rank": 0, "world_size": 1}
    dist.init_process_group(backend, timeout=_LOCKSTEP_TIMEOUT, **own)
    # The group's threads must be gone before the interpreter is, which they would abort.
    atexit.register(_end)


def _end() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


@cache
def _talking_group() -> "ProcessGroup":
    """The group that objects are exchanged in; the default one is for gradients."""
    import torch.distributed as dist

    start()
    group: ProcessGroup = dist.new_group(backend="gloo", timeout=_EXCHANGE_TIMEOUT)
    return group


def _exchange(value: Any, error: BaseException | None = None) -> list[tuple[Any, str | None]]:
    """Every process's value, or what went wrong there."""
    if world_size() == 1:
        return [(value, None)]
    import torch.distributed as dist

    exchanged: list[Any] = [None] * world_size()
    try:
        dist.all_gather_object(
            exchanged, (value, error and _in_words(error)), group=_talking_group()
        )
    except RuntimeError as problem:  # the group's own word for a partner that is gone or late
        raise RankFailed(
            f"another process of this cell is gone ({_in_words(problem)}); run the same command "
            "again, finished cells are kept"
        ) from problem
    return exchanged


def _values(exchanged: list[tuple[Any, str | None]]) -> list[Any]:
    for number, (_, error) in enumerate(exchanged):
        if error is not None:
            raise RankFailed(f"process {number} failed: {error}")
    return [value for value, _ in exchanged]


def _in_words(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
