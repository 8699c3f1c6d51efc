"""Costs counted per phase: forward tokens, generated tokens, seconds, peak memory."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class PhaseCost:
    """What one phase of a cell cost; tokens do not depend on the machine, the rest does."""

    forward_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass
class Meter:
    """Adds up costs under the name of the running phase; phases nest, the inner one counts."""

    phases: dict[str, PhaseCost] = field(default_factory=dict)
    _stack: list[str] = field(default_factory=lambda: ["other"])

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside under `name` (and not under the phase around it)."""
        outer = self._stack[-1]
        started = time.perf_counter()
        _reset_peak_memory()
        self._stack.append(name)
        try:
            yield
        finally:
            self._stack.pop()
            spent = time.perf_counter() - started
            cost = self._cost(name)
            cost.seconds += spent
            cost.peak_memory_bytes = max(cost.peak_memory_bytes, peak_memory_bytes())
            if outer != "other":
                self._cost(outer).seconds -= spent

    def count_forward(self, tokens: int) -> None:
        """Add tokens that went through the network once."""
        self._cost(self._stack[-1]).forward_tokens += tokens

    def count_generated(self, tokens: int) -> None:
        """Add tokens that were written by the model."""
        self._cost(self._stack[-1]).generated_tokens += tokens

    def _cost(self, name: str) -> PhaseCost:
        return self.phases.setdefault(name, PhaseCost())


def peak_memory_bytes() -> int:
    """Peak memory since the last reset: the GPU's allocator, or this process's resident set."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _reset_peak_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # Linux only; elsewhere the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")
