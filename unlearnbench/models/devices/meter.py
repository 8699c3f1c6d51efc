"""Costs counted per phase: forward tokens, generated tokens, seconds, peak memory."""

import mmap
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from unlearnbench.models.devices import ranks

OTHER = "other"  # what stands in no phase of its own
_TRIAL = 32 << 20  # bytes


@dataclass
class PhaseCost:
    """What one phase of a cell cost; tokens do not depend on the machine, the rest does."""

    forward_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0

    def plus(self, other: "PhaseCost", *, at_once: bool = False) -> "PhaseCost":
        """The cost of both, which ran one after the other or `at_once`."""
        return PhaseCost(
            forward_tokens=self.forward_tokens + other.forward_tokens,
            generated_tokens=self.generated_tokens + other.generated_tokens,
            seconds=max(self.seconds, other.seconds) if at_once else self.seconds + other.seconds,
            peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes),
        )


class PhaseWatch(Protocol):
    """Told when phases begin and end, be they of any meter."""

    def began(self, name: str) -> None:
        """A phase begins, perhaps inside another one."""

    def ended(self) -> None:
        """The innermost phase ends."""


_watch: ContextVar[PhaseWatch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(watch: PhaseWatch) -> Iterator[None]:
    """Tell `watch` of every phase inside; a trace is drawn with it."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


_advance: ContextVar[Callable[[str, int, int], None] | None] = ContextVar("advance", default=None)


@contextmanager
def advancing(listener: Callable[[str, int, int], None]) -> Iterator[None]:
    """Tell `listener` inside of each phase's name, how many of its parts are done, and how many
    there are."""
    token = _advance.set(listener)
    try:
        yield
    finally:
        _advance.reset(token)


@dataclass
class Meter:
    """Adds up costs under the name of the running phase; phases nest, the inner one counts.

    Opening and closing one takes about 0.1 ms, most of it for its peak memory.
    """

    phases: dict[str, PhaseCost] = field(default_factory=dict)
    _stack: list[str] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside under `name` (and not under the phase around it).

        What stands in no phase is timed only where 'other' is opened around it all.
        """
        if self._stack:
            self._note_peak(self._stack[-1])
        _reset_peak_memory()
        started = time.perf_counter()
        self._stack.append(name)
        watch = _watch.get()
        if watch is not None:
            watch.began(name)
        try:
            yield
        finally:
            if watch is not None:
                watch.ended()
            seconds = time.perf_counter() - started
            self._stack.pop()
            self._cost(name).seconds += seconds
            self._note_peak(name)
            _reset_peak_memory()  # what the inner phase took is not the outer one's
            if self._stack:
                self._cost(self._stack[-1]).seconds -= seconds

    @contextmanager
    def apart(self) -> Iterator[dict[str, PhaseCost]]:
        """Gives what is counted inside, by phase; afterwards it counts here as well."""
        around, self.phases = self.phases, {}
        own = self.phases
        try:
            yield own
        finally:
            self.phases = around
            self.add(own)

    def add(self, costs: dict[str, PhaseCost]) -> None:
        """Count what was counted elsewhere or at another time."""
        for name, cost in costs.items():
            self.phases[name] = self._cost(name).plus(cost)

    def count_forward(self, tokens: int) -> None:
        """Add tokens that went through the network once."""
        self._running.forward_tokens += tokens

    def count_generated(self, tokens: int) -> None:
        """Add tokens that were written by the model."""
        self._running.generated_tokens += tokens

    def advance(self, done: int, total: int) -> None:
        """Say how far the running phase is."""
        listener = _advance.get()
        if listener is not None and self._stack:
            listener(self._stack[-1], done, total)

    def sum_over_processes(self) -> None:
        """Make it the costs of all processes that train one cell: everyone's tokens, and the time
        and memory of the one that took most."""
        if ranks.world_size() == 1:
            return
        total: dict[str, PhaseCost] = {}
        for part in ranks.gathered(lambda: self.phases):
            for name, cost in part.items():
                total[name] = total.get(name, PhaseCost()).plus(cost, at_once=True)
        self.phases = total

    @property
    def peaks_are_of(self) -> Literal["gpu", "phase", "process so far"]:
        """What `peak_memory_bytes` tells here: of the GPUs, of each phase, or no phase's own."""
        if any(_allocated()):
            return "gpu"
        return "phase" if can_reset_peak_memory() else "process so far"

    @property
    def _running(self) -> PhaseCost:
        return self._cost(self._stack[-1] if self._stack else OTHER)

    def _note_peak(self, name: str) -> None:
        cost = self._cost(name)
        cost.peak_memory_bytes = max(cost.peak_memory_bytes, peak_memory_bytes())

    def _cost(self, name: str) -> PhaseCost:
        return self.phases.setdefault(name, PhaseCost())


def peak_memory_bytes() -> int:
    """Peak memory since the last reset: the GPUs' allocators, or this process's resident set.

    Where the resident set's peak cannot be reset it is that of the whole process so far.
    """
    # Of all GPUs, as a model need not be on the first; none holds anything if it is on the CPU.
    if allocated := sum(_allocated()):
        return allocated
    return _resident_peak()


def _reset_peak_memory() -> None:
    for gpu in _gpus():
        _torch().cuda.reset_peak_memory_stats(gpu)
    _reset_resident_peak()


@cache
def can_reset_peak_memory() -> bool:
    """Whether the resident peak of a phase can be told apart: Linux, where the kernel allows it.

    Some containers mount /proc so that it cannot be written, and some take the
    write and reset nothing: so a block is taken, given back, and looked for.
    """
    # A mapping of its own: what the allocator frees, it may keep.
    with mmap.mmap(-1, _TRIAL) as block:
        block[:: 1 << 12] = b"x" * len(range(0, _TRIAL, 1 << 12))
    before = _resident_peak()
    return _reset_resident_peak() and _resident_peak() < before - _TRIAL // 2


def _reset_resident_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed
        return False
    return True


def _resident_peak() -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _allocated() -> list[int]:
    return [_torch().cuda.max_memory_allocated(gpu) for gpu in _gpus()]


def _gpus() -> range:
    # Asking a GPU that nothing was put on yet would start it.
    cuda = getattr(_torch(), "cuda", None)
    return range(cuda.device_count() if cuda is not None and cuda.is_initialized() else 0)


def _torch() -> Any:
    """None if nothing has needed it yet: a phase that loads it is to be charged for it."""
    return sys.modules.get("torch")
