"""What a cell takes of memory, part by part, and in which phase most is taken."""

from collections.abc import Mapping
from dataclasses import dataclass

WEIGHTS = "weights"
GRADIENTS = "gradients"
OPTIMISER = "optimiser states"
ACTIVATIONS = "activations"
LOGITS = "logits"
REFERENCE = "frozen reference"
CACHES = "keys and values"
SCORER = "BERTScore's network"
FILES = "weight files"
LIBRARIES = "libraries"
KEPT = "kept by the C library"
PASSING = (ACTIVATIONS, LOGITS, CACHES)  # what a phase lets go at its end

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class PhaseNeed:
    """The most that one phase of a cell takes, in bytes by what it is for."""

    phase: str  # load, examine, unlearn, measure
    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class MemoryNeed:
    """What a cell takes at most in one process: of the GPU's memory, or of the machine's."""

    phases: tuple[PhaseNeed, ...]
    on_gpu: bool = False

    @property
    def peak(self) -> PhaseNeed:
        """The phase that takes most; the first of equal ones."""
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return self.peak.total

    def of(self, phase: str) -> int:
        """Bytes of one phase; 0 if there is none of that name."""
        return next((p.total for p in self.phases if p.phase == phase), 0)


def in_words(n_bytes: float) -> str:
    """Bytes as a person says them: '3.2 GB'."""
    value, unit = float(n_bytes), "B"
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.3g} {unit}"
