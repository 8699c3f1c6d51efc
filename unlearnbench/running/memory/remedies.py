"""What to change so that a cell fits: the smallest change first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unlearnbench.running.memory.need import MemoryNeed

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.models.devices.strategy import Strategy

Change = tuple[str, "Strategy", str]  # flags, and the strategy and precision they mean

_PARTS = (2, 4, 8)
_PROCESSES = (2, 4, 8)


@dataclass(frozen=True)
class Remedy:
    """Another way to train the same cell, and what it takes then."""

    flags: str
    need: MemoryNeed


def remedy(cell: "Cell", room: int) -> Remedy | None:
    """The smallest change after which a process takes at most `room` bytes; None if there is none.

    What changes no number comes before what changes the precision, and that before
    what needs more devices.
    """
    changes = list(ways(cell))
    light = [change for change in changes if _changes_no_number(change, cell)]
    # Each is counted anew, so the many light ones only where the last of them is enough.
    if light and _need(cell, light[-1]).total > room:
        changes = [change for change in changes if change not in light]
    for change in changes:
        if (need := _need(cell, change)).total <= room:
            return Remedy(change[0], need)
    return None


def _need(cell: "Cell", change: Change) -> MemoryNeed:
    from unlearnbench.running.memory.prediction import predict

    _, strategy, dtype = change
    return predict(cell, strategy, dtype)


def _changes_no_number(change: Change, cell: "Cell") -> bool:
    _, new, dtype = change
    own = cell.model.strategy
    same_precision = (new.mixed_precision, dtype) == (own.mixed_precision, cell.model.dtype)
    return same_precision and new.deepspeed == own.deepspeed


def ways(cell: "Cell") -> Iterator[Change]:
    """Flags, and the strategy and precision they mean, from the smallest change to the largest."""
    own, dtype = cell.model.strategy, cell.model.dtype
    for flags, strategy in _lighter(own, int(cell.settings.get("batch_size", 1))):
        yield flags, strategy, dtype
    small = replace(own, gradient_checkpointing=True, gradient_accumulation_steps=_PARTS[-1])
    if own.mixed_precision == "no" and dtype == "float32":
        yield _flags(small, "--mixed-precision bf16"), replace(small, mixed_precision="bf16"), dtype
        yield _flags(small, "--dtype bfloat16"), small, "bfloat16"
    for stage in ("zero2", "zero3"):
        for n in _PROCESSES:
            if n > own.n_processes:
                flags = _flags(small, f"--deepspeed {stage}") + f" on {n} devices"
                yield flags, replace(small, deepspeed=stage, n_processes=n), dtype


def _lighter(own: "Strategy", batch_size: int) -> "Iterator[tuple[str, Strategy]]":
    parts = [n for n in _PARTS if own.gradient_accumulation_steps < n <= batch_size]
    if not own.gradient_checkpointing:
        for n in parts:
            yield _accumulating(n), replace(own, gradient_accumulation_steps=n)
        yield "--gradient-checkpointing", replace(own, gradient_checkpointing=True)
    for n in parts:
        lighter = replace(own, gradient_checkpointing=True, gradient_accumulation_steps=n)
        yield _flags(lighter), lighter


def _flags(strategy: "Strategy", *more: str) -> str:
    return " ".join(
        ["--gradient-checkpointing", _accumulating(strategy.gradient_accumulation_steps), *more]
    )


def _accumulating(n_parts: int) -> str:
    return f"--gradient-accumulation-steps {n_parts}"
